// Takes a connector through its whole life with the client that Redpanda Console has, as it is published, and says each step.
//
//	go run . -url URL [-token TOKEN] -name NAME -class CLASS < config.json
//
// The config is a flat map; `tasks.max` must allow two tasks. Prints one line a step; ends with 1 and the reason at the first that goes wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	connect "github.com/cloudhut/connect-client"
)

type life struct {
	client  *connect.Client
	context context.Context
	name    string
	class   string
	config  map[string]interface{}
	wait    time.Duration
}

func main() {
	url := flag.String("url", "", "base URL of a worker")
	token := flag.String("token", "", "bearer token, where the worker has one")
	name := flag.String("name", "go-client", "name of the connector")
	class := flag.String("class", "", "connector.class")
	wait := flag.Duration("wait", 60*time.Second, "longest time until a state is reached")
	flag.Parse()

	config := map[string]interface{}{}
	if err := json.NewDecoder(os.Stdin).Decode(&config); err != nil {
		fail("config", err)
	}
	config["connector.class"] = *class
	options := []connect.ClientOption{connect.WithHost(*url), connect.WithUserAgent("colloquy-test")}
	if *token != "" {
		options = append(options, connect.WithAuthToken(*token))
	}
	l := life{connect.NewClient(options...), context.Background(), *name, *class, config, *wait}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"root", l.root},
		{"plugins", l.plugins},
		{"validate", l.validate},
		{"unknown", l.unknown},
		{"create", l.create},
		{"list", l.list},
		{"config", l.change},
		{"pause", l.pause},
		{"restart", l.restart},
		{"topics", l.topics},
		{"stop", l.stop},
		{"delete", l.remove},
	} {
		if err := step.run(); err != nil {
			fail(step.name, err)
		}
		fmt.Println(step.name)
	}
}

func fail(step string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", step, err)
	os.Exit(1)
}

func (l life) root() error {
	root, err := l.client.GetRoot(l.context)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(root.Version, "4.") || root.Commit == "" || root.KafkaClusterID == "" {
		return fmt.Errorf("got %+v", root)
	}
	return nil
}

func (l life) plugins() error {
	plugins, err := l.client.GetConnectorPlugins(l.context)
	if err != nil {
		return err
	}
	for _, plugin := range plugins {
		if plugin.Class == l.class && plugin.Type == "source" && plugin.Version != "" {
			return nil
		}
	}
	return fmt.Errorf("%s is not among %+v", l.class, plugins)
}

func (l life) validate() error {
	good, err := l.client.PutValidateConnectorConfig(l.context, l.class, connect.ValidateConnectorConfigOptions{Config: l.with("name", l.name)})
	if err != nil {
		return err
	}
	if good.ErrorCount != 0 || good.Name != l.class || len(good.Groups) == 0 {
		return fmt.Errorf("a good config has %d errors: %+v", good.ErrorCount, errorsOf(good))
	}
	for _, each := range good.Configs {
		if each.Definition == nil || each.Value == nil || each.Definition["name"] != each.Value["name"] {
			return fmt.Errorf("a key without a definition or a value: %+v", each)
		}
	}
	bad, err := l.client.PutValidateConnectorConfig(l.context, l.class, connect.ValidateConnectorConfigOptions{Config: l.with("tasks.max", "many")})
	if err != nil {
		return err
	}
	if found := errorsOf(bad); len(found["tasks.max"]) != 1 {
		return fmt.Errorf("tasks.max: many gives %+v", found)
	}
	return nil
}

func (l life) unknown() error {
	_, err := l.client.GetConnector(l.context, "there-is-none")
	return expectError(err, 404, "Connector there-is-none not found")
}

func (l life) create() error {
	created, err := l.client.CreateConnector(l.context, connect.CreateConnectorRequest{Name: l.name, Config: l.config})
	if err != nil {
		return err
	}
	if created.Name != l.name || created.Type != "source" || created.Config["name"] != l.name || created.Config["connector.class"] != l.class {
		return fmt.Errorf("got %+v", created)
	}
	_, err = l.client.CreateConnector(l.context, connect.CreateConnectorRequest{Name: l.name, Config: l.config})
	if err := expectError(err, 409, fmt.Sprintf("Connector %s already exists", l.name)); err != nil {
		return err
	}
	return l.until("RUNNING", 1)
}

func (l life) list() error {
	names, err := l.client.ListConnectors(l.context)
	if err != nil {
		return err
	}
	if !contains(names, l.name) {
		return fmt.Errorf("%s is not among %v", l.name, names)
	}
	expanded, err := l.client.ListConnectorsExpanded(l.context)
	if err != nil {
		return err
	}
	each, there := expanded[l.name]
	if !there || each.Info.Name != l.name || each.Status.Name != l.name || len(each.Info.Tasks) != len(each.Status.Tasks) {
		return fmt.Errorf("got %+v", each)
	}
	for index, task := range each.Info.Tasks {
		if task.Task != each.Status.Tasks[index].ID || each.Status.Tasks[index].WorkerID == "" {
			return fmt.Errorf("tasks of info and status differ: %+v", each)
		}
	}
	return nil
}

func (l life) change() error {
	changed, err := l.client.PutConnectorConfig(l.context, l.name, connect.PutConnectorConfigOptions{Config: l.with("tasks.max", 2)})
	if err != nil {
		return err
	}
	if changed.Config["tasks.max"] != "2" {
		return fmt.Errorf("got %+v", changed)
	}
	config, err := l.client.GetConnectorConfig(l.context, l.name)
	if err != nil {
		return err
	}
	if config["tasks.max"] != "2" || config["name"] != l.name {
		return fmt.Errorf("got %+v", config)
	}
	_, err = l.client.PutConnectorConfig(l.context, l.name, connect.PutConnectorConfigOptions{Config: l.with("tasks.max", "many")})
	var refused connect.ApiError
	if !errors.As(err, &refused) || refused.ErrorCode != 400 || !strings.HasPrefix(refused.Message, "Connector configuration is invalid and contains the following 1 error(s):\n") {
		return fmt.Errorf("tasks.max: many is answered with %v", err)
	}
	return l.until("RUNNING", 1)
}

func (l life) pause() error {
	if err := l.client.PauseConnector(l.context, l.name); err != nil {
		return err
	}
	if err := l.until("PAUSED", 1); err != nil {
		return err
	}
	if err := l.client.ResumeConnector(l.context, l.name); err != nil {
		return err
	}
	return l.until("RUNNING", 1)
}

func (l life) restart() error {
	for _, options := range []connect.RestartConnectorOptions{{}, {IncludeTasks: true}, {IncludeTasks: true, OnlyFailed: true}, {OnlyFailed: true}} {
		if err := l.client.RestartConnector(l.context, l.name, options); err != nil {
			return fmt.Errorf("%+v: %w", options, err)
		}
	}
	if err := l.client.RestartConnectorTask(l.context, l.name, 0); err != nil {
		return err
	}
	if err := expectError(l.client.RestartConnectorTask(l.context, l.name, 999), 404, fmt.Sprintf("Unknown task: %s-999", l.name)); err != nil {
		return err
	}
	return l.until("RUNNING", 1)
}

func (l life) topics() error {
	topics, err := l.client.GetConnectorTopics(l.context, l.name)
	if err != nil {
		return err
	}
	if _, there := topics[l.name]; !there {
		return fmt.Errorf("got %+v", topics)
	}
	return l.client.ResetConnectorTopics(l.context, l.name)
}

func (l life) stop() error {
	if err := l.client.StopConnector(l.context, l.name); err != nil {
		return err
	}
	if err := l.until("STOPPED", 0); err != nil {
		return err
	}
	if err := l.client.ResumeConnector(l.context, l.name); err != nil {
		return err
	}
	return l.until("RUNNING", 1)
}

func (l life) remove() error {
	if err := l.client.DeleteConnector(l.context, l.name); err != nil {
		return err
	}
	names, err := l.client.ListConnectors(l.context)
	if err != nil {
		return err
	}
	if contains(names, l.name) {
		return fmt.Errorf("%s is still among %v", l.name, names)
	}
	_, err = l.client.GetConnectorStatus(l.context, l.name)
	if err := expectError(err, 404, fmt.Sprintf("No status found for connector %s", l.name)); err != nil {
		return err
	}
	return expectError(l.client.DeleteConnector(l.context, l.name), 404, fmt.Sprintf("Connector %s not found", l.name))
}

// until waits for the state, of the connector and of all its tasks. least is the least number of tasks; 0: none at all.
func (l life) until(state string, least int) error {
	var last string
	for end := time.Now().Add(l.wait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		status, err := l.client.GetConnectorStatus(l.context, l.name)
		var refused connect.ApiError
		if errors.As(err, &refused) && refused.ErrorCode == 404 {
			last = refused.Message
			continue
		}
		if err != nil {
			return err
		}
		reached := status.Connector.State == state && len(status.Tasks) >= least && (least > 0 || len(status.Tasks) == 0)
		for _, task := range status.Tasks {
			reached = reached && task.State == state
		}
		if reached {
			return nil
		}
		last = fmt.Sprintf("%+v", status)
	}
	return fmt.Errorf("%s was not reached in %s: %s", state, l.wait, last)
}

func (l life) with(key string, value interface{}) map[string]interface{} {
	config := map[string]interface{}{key: value}
	for each, given := range l.config {
		if each != key {
			config[each] = given
		}
	}
	return config
}

func errorsOf(result connect.ConnectorValidationResult) map[string][]interface{} {
	found := map[string][]interface{}{}
	for _, each := range result.Configs {
		if list, _ := each.Value["errors"].([]interface{}); len(list) > 0 {
			found[fmt.Sprint(each.Value["name"])] = list
		}
	}
	return found
}

func expectError(err error, code int, message string) error {
	var refused connect.ApiError
	if errors.As(err, &refused) && refused.ErrorCode == code && refused.Message == message {
		return nil
	}
	return fmt.Errorf("expected %d %q, got %v", code, message, err)
}

func contains(names []string, name string) bool {
	for _, each := range names {
		if each == name {
			return true
		}
	}
	return false
}

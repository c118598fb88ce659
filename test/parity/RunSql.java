import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/**
 * Runs a file of Flink SQL on a cluster inside this process, as `sql-client.sh -f FILE` runs it on a cluster elsewhere. Takes SET, and statements that end with
 * a semicolon at the end of a line. Ends when the job of its INSERT does.
 */
public class RunSql {
  private static final Pattern SET = Pattern.compile("SET\\s+'([^']+)'\\s*=\\s*'([^']*)'");

  public static void main(String[] args) throws Exception {
    TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
    String text = Files.readString(Path.of(args[0])).replaceAll("(?m)^\\s*--.*$", "");
    for (String part : text.split(";\\s*(\\n|$)")) {
      String statement = part.strip();
      Matcher set = SET.matcher(statement);
      if (set.matches()) tables.getConfig().set(set.group(1), set.group(2));
      else if (statement.startsWith("INSERT")) tables.executeSql(statement).await();
      else if (!statement.isEmpty()) tables.executeSql(statement);
    }
  }
}

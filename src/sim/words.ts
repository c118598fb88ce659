/** What people, bots and agents of the seeded world say, and their names: all of it invented. */

export interface Phrases {
  readonly hello: readonly string[]
  readonly welcome: readonly string[]
  /** `%n` is a number, `%t` the topic. */
  readonly ask: readonly string[]
  readonly answer: readonly string[]
  readonly unclear: readonly string[]
  readonly wantsPerson: readonly string[]
  readonly handover: readonly string[]
  readonly agentSays: readonly string[]
  readonly replies: readonly string[]
  readonly thanks: readonly string[]
  readonly campaign: readonly string[]
}

const EN: Phrases = {
  hello: ['Hi', 'Hello there', 'hey', 'Good morning', 'hi!! 👋', 'Is anyone there?'],
  welcome: ['Hello! I am the assistant. What can I do for you?', 'Welcome back. How can I help today?'],
  ask: [
    'I have a question about my %t',
    'what about %t number %n?',
    'Where is my %t? It was "on its way" on Monday',
    '%t please',
    'Can you check %t %n for me',
    'it says error %n when I open the %t page',
    'ok and the %t?\nI need it by Friday',
  ],
  answer: [
    'Your %t has the number %n.',
    'I found %n entries for %t. Which one do you mean?',
    'Done: %t is updated.',
    'Here is what I know about %t: it takes about %n hours.',
    'To go on with %t I need one more detail.',
  ],
  unclear: ['Sorry, I did not get that. Could you say it in other words?', 'I am not sure I understand.'],
  wantsPerson: ['I want to talk to a person', 'agent please', 'This does not help, give me a human'],
  handover: ['I will connect you with a colleague.', 'One moment, somebody from the team will take over.'],
  agentSays: [
    'Hello, I have read your conversation.',
    'Let me look into that for a minute.',
    'I have corrected it, number %n.',
    'Is there anything else?',
    'Could you send me a picture of it?',
  ],
  replies: ['ok', 'yes', 'no, the other one', 'number %n', 'that is right', 'sure, one second', '…'],
  thanks: ['Thanks!', 'great, thank you', 'thanks 🙏', 'ok bye'],
  campaign: ['Your %t is ready. Answer YES to go on.', 'We kept your %t for you: %n days left.'],
}

const ES: Phrases = {
  hello: ['Hola', 'Buenas', 'Hola, ¿qué tal?', 'buen día', 'hola!! 👋'],
  welcome: ['¡Hola! Soy el asistente. ¿En qué te ayudo?', 'Qué bueno verte de nuevo. ¿Qué necesitas?'],
  ask: [
    'Tengo una duda sobre mi %t',
    '¿qué pasó con %t número %n?',
    'quiero ver %t',
    '%t por favor',
    '¿Me revisas %t %n?',
    'sale el error %n cuando abro %t',
    'ok, ¿y %t?\nLo necesito mañana',
  ],
  answer: [
    'Tu %t tiene el número %n.',
    'Encontré %n resultados para %t. ¿Cuál es?',
    'Listo: actualicé %t.',
    'Sobre %t: demora unas %n horas.',
    'Para seguir con %t me falta un dato.',
  ],
  unclear: ['Perdón, no entendí. ¿Me lo dices de otra forma?', 'No estoy seguro de haber entendido.'],
  wantsPerson: ['quiero hablar con una persona', 'un agente por favor', 'esto no me sirve'],
  handover: ['Te paso con alguien del equipo.', 'Un momento, ya te atienden.'],
  agentSays: [
    'Hola, ya leí la conversación.',
    'Déjame revisarlo un minuto.',
    'Lo corregí, número %n.',
    '¿Algo más?',
    '¿Me envías una foto?',
  ],
  replies: ['sí', 'dale', 'no, el otro', 'el número %n', 'así es', 'un segundo', '…'],
  thanks: ['¡Gracias!', 'mil gracias', 'gracias 🙏', 'chau'],
  campaign: ['Tu %t está listo. Responde SÍ para seguir.', 'Guardamos tu %t: quedan %n días.'],
}

const PT: Phrases = {
  ...ES,
  hello: ['Olá', 'Oi', 'Bom dia', 'oi, tudo bem?'],
  welcome: ['Olá! Sou o assistente. Como posso ajudar?'],
  ask: ['Tenho uma dúvida sobre %t', 'e %t número %n?', 'não consigo abrir %t', '%t por favor'],
  answer: ['%t tem o número %n.', 'Pronto: %t atualizado.', 'Sobre %t: leva cerca de %n horas.'],
  unclear: ['Desculpe, não entendi.'],
  wantsPerson: ['quero falar com uma pessoa', 'atendente por favor'],
  handover: ['Vou passar você para a equipe.'],
  agentSays: ['Olá, já li a conversa.', 'Vou verificar um minuto.', 'Corrigi, número %n.', 'Mais alguma coisa?'],
  replies: ['sim', 'não, o outro', 'número %n', 'isso', 'um segundo'],
  thanks: ['Obrigado!', 'obrigada 🙏', 'valeu'],
  campaign: ['%t está pronto. Responda SIM.'],
}

const DE: Phrases = {
  ...EN,
  hello: ['Hallo', 'Guten Tag', 'moin', 'Hallo zusammen'],
  welcome: ['Hallo! Ich bin der Assistent. Worum geht es?'],
  ask: ['Ich habe eine Frage zu %t', 'was ist mit %t Nummer %n?', 'bei %t kommt Fehler %n', '%t bitte'],
  answer: ['%t hat die Nummer %n.', 'Erledigt: %t ist geändert.', 'Zu %t: das dauert etwa %n Stunden.'],
  unclear: ['Das habe ich leider nicht verstanden.'],
  wantsPerson: ['ich möchte mit einem Menschen sprechen', 'Mitarbeiter bitte'],
  handover: ['Ich verbinde mit dem Team.'],
  agentSays: ['Guten Tag, ich habe alles gelesen.', 'Ich schaue kurz nach.', 'Ist korrigiert, Nummer %n.', 'Noch etwas?'],
  replies: ['ja', 'nein, das andere', 'Nummer %n', 'genau', 'einen Moment'],
  thanks: ['Danke!', 'vielen Dank', 'tschüss'],
  campaign: ['%t liegt bereit. Antworten Sie mit JA.'],
}

const FR: Phrases = {
  ...EN,
  hello: ['Bonjour', 'Salut', 'bonsoir', 'bonjour à tous'],
  welcome: ["Bonjour ! Je suis l'assistant. Que puis-je faire ?"],
  ask: ["J'ai une question sur %t", 'et %t numéro %n ?', "%t affiche l'erreur %n", '%t svp'],
  answer: ['%t porte le numéro %n.', "C'est fait : %t est à jour.", 'Pour %t : environ %n heures.'],
  unclear: ["Désolé, je n'ai pas compris."],
  wantsPerson: ['je veux parler à une personne', 'un conseiller svp'],
  handover: ["Je vous passe quelqu'un de l'équipe."],
  agentSays: ["Bonjour, j'ai lu la conversation.", 'Je regarde un instant.', "C'est corrigé, numéro %n.", 'Autre chose ?'],
  replies: ['oui', "non, l'autre", 'numéro %n', "c'est ça", 'une seconde'],
  thanks: ['Merci !', 'merci bien', 'au revoir'],
  campaign: ['%t est prêt. Répondez OUI.'],
}

export const PHRASES: Readonly<Record<string, Phrases>> = { en: EN, es: ES, pt: PT, de: DE, fr: FR }

export const FIRST_NAMES = [
  'Nimo',
  'Talvi',
  'Orsa',
  'Beluko',
  'Ñandira',
  'Quello',
  'Ysmé',
  'Dorvan',
  'Pilvi',
  'Zadka',
  'Müro',
  'Ferro',
]
export const LAST_NAMES = [
  'Testworth',
  'Sampleton',
  'De Muestra',
  'Ejemplar',
  'Beispiel',
  'Fictif',
  'Mockridge',
  'Invento',
  "O'Stub",
  'Fakenham',
]
export const AGENT_NAMES = ['Vela S.', 'Tobin R.', 'Ilka M.', 'Bruno T.', 'Wanda P.', 'Chiko L.', 'Sura K.', 'Otis B.']
export const COUNTRIES = ['AR', 'BR', 'CO', 'DE', 'ES', 'FR', 'MX', 'US']

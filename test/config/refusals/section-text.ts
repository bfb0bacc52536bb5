/** One section of relay.yaml around the part that matters to a test. */
export const http = (rest: string) => `targets:\n  crm: { type: http, url: "https://crm.internal/", ${rest} }\n`
export const slack = (rest: string) =>
  `targets:\n  crm:\n    type: slack\n    webhookUrl: https://hooks.slack.test/x\n    ${rest}\n`
export const exec = (rest: string) => `targets:\n  crm: { type: exec, ${rest} }\n`
export const source = (rest: string) => `sources:\n  ultravox: { scheme: ultravox, ${rest} }\n`
export const route = (rest: string) => `routes:\n  - { ${rest} }\n`
export const server = (rest: string) => `server:\n  ${rest}\n`
export const ultravox = (rest: string) => `ultravox:\n  apiKey: test-key\n  ${rest}\n`
export const admin = (rest: string) => `admin:\n  ${rest}\n`

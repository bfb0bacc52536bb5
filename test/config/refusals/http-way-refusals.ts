import { ENCRYPTED_KEY, SELF_SIGNED, SELF_SIGNED_CRM } from '../../targets/self-signed.ts'
import type { Refusals } from '../relay-yaml.ts'
import { http } from './section-text.ts'

const to = (url: string, rest = '') => `targets:\n  crm: { type: http, url: ${url}${rest && `, ${rest}`} }\n`
const files = {
  'ca.pem': SELF_SIGNED.cert,
  'cert.pem': SELF_SIGNED.cert,
  'key.pem': SELF_SIGNED.key,
  'other-key.pem': SELF_SIGNED_CRM.key,
  'locked-key.pem': ENCRYPTED_KEY,
  'note.txt': 'marked-secret',
  'broken.pem': '-----BEGIN CERTIFICATE-----\nbWFya2VkLXNlY3JldA==\n-----END CERTIFICATE-----\n',
}

export const httpWayRefusals: Refusals = {
  'a certificate that is not there': {
    yaml: http('tls: { ca: ▸missing.pem }'),
    path: 'targets.crm.tls.ca',
    words: /cannot be read \(there is none\).*relative to the configuration file/,
  },
  'a certificate that is none': {
    yaml: http('tls: { ca: ▸./note.txt }'),
    path: 'targets.crm.tls.ca',
    words: /no sound certificate in PEM form/,
    files,
  },
  'a certificate that is broken': {
    yaml: http('tls: { ca: ▸broken.pem }'),
    path: 'targets.crm.tls.ca',
    words: /no sound certificate/,
    files,
  },
  'a private key that is none': {
    yaml: http('tls: { cert: cert.pem, key: ▸note.txt }'),
    path: 'targets.crm.tls.key',
    words: /no private key in PEM form/,
    files,
  },
  'a private key of another certificate': {
    yaml: http('tls: { cert: cert.pem, key: ▸other-key.pem }'),
    path: 'targets.crm.tls.key',
    words: /does not belong to the certificate in cert/,
    files,
  },
  'a private key with a passphrase': {
    yaml: http('tls: { cert: cert.pem, key: ▸locked-key.pem }'),
    path: 'targets.crm.tls.key',
    words: /has a passphrase.*openssl pkey/,
    files,
  },
  'a certificate without its key': {
    yaml: http('tls: { ▸cert: cert.pem }'),
    path: 'targets.crm.tls.cert',
    words: /no use without its private key/,
    files,
  },
  'a key without its certificate': {
    yaml: http('tls: { ▸key: key.pem }'),
    path: 'targets.crm.tls.key',
    words: /no use without its certificate/,
    files,
  },
  'an authority for what is not verified': {
    yaml: http('tls: { ca: ca.pem, ▸insecure: true }'),
    path: 'targets.crm.tls.insecure',
    words: /so ca has no use/,
    files,
  },
  'an address as the name of a server': {
    yaml: http('tls: { servername: ▸10.0.0.1 }'),
    path: 'targets.crm.tls.servername',
    words: /must be a name/,
  },
  'a name of a server that is none': {
    yaml: http('tls: { servername: ▸"https://x" }'),
    path: 'targets.crm.tls.servername',
    words: /no host name/,
  },
  'insecure as a number': {
    yaml: http('tls: { insecure: ▸1 }'),
    path: 'targets.crm.tls.insecure',
    words: /true or false/,
  },
  'tls with an http url': {
    yaml: to('"http://crm.internal/"', '▸tls: { servername: crm.internal }'),
    path: 'targets.crm.tls',
    words: /no use without https: write https:\/\/ in url/,
  },
  'tls with a unix socket': {
    yaml: to('"http+unix://%2Frun%2Fx.sock/"', '▸tls: { servername: crm.internal }'),
    path: 'targets.crm.tls',
    words: /no use without https: remove it/,
  },
  'a unix url without an absolute path': {
    yaml: to('▸"http+unix://run%2Fx.sock/marked-secret"'),
    path: 'targets.crm.url',
    words: /absolute path of the socket.*%2F for "\/"/,
  },
  'a unix url with a fragment': {
    yaml: to('▸"http+unix://%2Frun%2Fx.sock/#a"'),
    path: 'targets.crm.url',
    words: /absolute path of the socket/,
  },
  'a socket with an https url': {
    yaml: http('▸socketPath: /run/x.sock'),
    path: 'targets.crm.socketPath',
    words: /in plain HTTP: write http:\/\/ in url/,
  },
  'a socket in the url and beside it': {
    yaml: to('"http+unix://%2Frun%2Fx.sock/"', '▸socketPath: /run/x.sock'),
    path: 'targets.crm.socketPath',
    words: /named by url too/,
  },
  'a socket path that is too long': {
    yaml: to('"http://localhost/"', `socketPath: ▸/run/${'x'.repeat(103)}`),
    path: 'targets.crm.socketPath',
    words: /more than 107 bytes/,
  },
  'a socket path in a url that is too long': {
    yaml: to(`▸"http+unix://%2Frun%2F${'x'.repeat(103)}/"`),
    path: 'targets.crm.url',
    words: /more than 107 bytes/,
  },
  'a proxy to a socket': {
    yaml: to('"http://localhost/"', 'socketPath: /run/x.sock, ▸proxy: "http://proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /cannot lead to a unix socket, which socketPath names/,
  },
  'a proxy to a socket in the url': {
    yaml: to('"http+unix://%2Frun%2Fx.sock/"', '▸proxy: "http://proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /cannot lead to a unix socket, which url names/,
  },
  'a proxy that is no http url': {
    yaml: http('proxy: ▸"socks5://me:marked-secret@proxy:1080"'),
    path: 'targets.crm.proxy',
    words: /must be the http:\/\/ URL of a proxy/,
  },
  'a proxy without a scheme': {
    yaml: http('proxy: ▸"proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /must be the http:\/\/ URL of a proxy/,
  },
  'a proxy with a path': {
    yaml: http('proxy: ▸"http://me:marked-secret@proxy:3128/path"'),
    path: 'targets.crm.proxy',
    words: /a proxy has no path/,
  },
  'a proxy with half an escape in its password': {
    yaml: http('proxy: ▸"http://me:marked-secret%@proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /write it as %25/,
  },
  'a proxy with characters in its password that end it': {
    yaml: http('proxy: ▸"http://me:marked-secret#s?s/w%rd@proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /another meaning in a URL: write "%" as %25, "#" as %23, "\/" as %2F, "\?" as %3F$/,
  },
  'a proxy with digits and a slash in its password, which could be a port and a path': {
    yaml: http('proxy: ▸"http://me:12/marked-secret@proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /has "\/" in its user or password, .*: write it as %2F$/,
  },
  'a proxy with an @ beside another such character': {
    yaml: http('proxy: ▸"http://me@marked-secret:p#ss@proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /write "#" as %23, "@" as %40$/,
  },
  'a proxy with a backslash and a blank in its user': {
    yaml: http("proxy: ▸'http://DOMAIN\\marked-secret me:x@proxy:3128'"),
    path: 'targets.crm.proxy',
    words: /write "\\" as %5C, a blank as %20$/,
  },
  'a proxy with a code of Latin-1': {
    yaml: http('proxy: ▸"http://me:marked-secret%E9@proxy:3128"'),
    path: 'targets.crm.proxy',
    words: /not UTF-8: write é as %C3%A9/,
  },
  'a target with a password that looks like a port and a path': {
    yaml: to('▸"https://me:p#ss/marked-secret@crm.internal/x"'),
    path: 'targets.crm.url',
    words: /must not have a user or password in it/,
  },
  'an API with such a password': {
    yaml: 'ultravox: { apiKey: key-of-enough-length, baseUrl: ▸"https://me:p?marked-secret@api.internal" }\n',
    path: 'ultravox.baseUrl',
    words: /must not have a user or password in it/,
  },
  'allowLinkLocal with a proxy': {
    yaml: http('proxy: "http://proxy:3128", ▸allowLinkLocal: true'),
    path: 'targets.crm.allowLinkLocal',
    words: /no use with a proxy/,
  },
  'allowLinkLocal with a socket': {
    yaml: to('"http+unix://%2Frun%2Fx.sock/"', '▸allowLinkLocal: true'),
    path: 'targets.crm.allowLinkLocal',
    words: /no use with a unix socket/,
  },
  'a link-local address': {
    yaml: to('▸"http://169.254.169.254/latest"'),
    path: 'targets.crm.url',
    words: /leads to a link-local address: write allowLinkLocal: true/,
  },
  'a proxy at a metadata address': {
    yaml: http('proxy: ▸"http://metadata.google.internal.:3128"'),
    path: 'targets.crm.proxy',
    words: /leads to the address of a cloud metadata service, which is never connected to/,
  },
  'a metadata address in a form nobody recognises': {
    yaml: to('▸"http://[::ffff:6464:64c8]/"'),
    path: 'targets.crm.url',
    words: /leads to the address of a cloud metadata service/,
  },
}

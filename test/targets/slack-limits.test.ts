import t from 'tap'
import { cutToSlackLimits } from '../../src/targets/slack-limits.ts'
import { cutText, escapeSlack } from '../../src/targets/slack-text.ts'

const mrkdwn = (text: string) => ({ type: 'mrkdwn', text })
const plain = (text: string) => ({ type: 'plain_text', text })
const long = 'x'.repeat(50_000)
const cutTo = (length: number) => `${'x'.repeat(length - 1)}…`

t.test('a text is cut with an ellipsis and stays within the limit', async (t) => {
  t.equal(cutText('12345', 5), '12345')
  t.equal(cutText('123456', 5), '1234…')
})

t.test('a cut never splits a surrogate pair', async (t) => {
  t.equal(cutText('abc😀def', 5), 'abc…')
  t.equal(cutText('ab😀def', 5), 'ab😀…')
})

t.test('a cut never leaves a part of an entity', async (t) => {
  for (let limit = 2; limit < 20; limit++) {
    const cut = cutText(escapeSlack('a&b<c>d'.repeat(3)), limit)
    t.match(cut, /^([a-d]|&amp;|&lt;|&gt;)*…$/, `at ${limit}`)
    t.ok(cut.length <= limit)
  }
})

t.test('a message text is cut to 40,000 characters, and there are 50 blocks at most', async (t) => {
  const message = cutToSlackLimits({ text: long, blocks: Array.from({ length: 60 }, () => ({ type: 'divider' })) })
  t.equal(message.text, cutTo(40_000))
  t.equal(message.blocks?.length, 50)
})

t.test('texts in blocks are cut to the limit of their place', async (t) => {
  const blocks = [
    { type: 'header', text: plain(long) },
    { type: 'section', text: mrkdwn(long), fields: Array.from({ length: 12 }, () => mrkdwn(long)) },
    { type: 'context', elements: Array.from({ length: 12 }, () => mrkdwn(long)) },
    {
      type: 'actions',
      elements: [{ type: 'button', text: plain(long), url: `https://example.com/${'y'.repeat(99)}` }],
    },
    { type: 'image', image_url: 'https://example.com/x.png', alt_text: long },
    {
      type: 'section',
      text: mrkdwn('ok'),
      accessory: { type: 'button', text: plain('Go'), confirm: { title: plain(long) } },
    },
  ]
  t.same(cutToSlackLimits({ text: 'short', blocks }).blocks, [
    { type: 'header', text: plain(cutTo(150)) },
    { type: 'section', text: mrkdwn(cutTo(3_000)), fields: Array.from({ length: 10 }, () => mrkdwn(cutTo(2_000))) },
    { type: 'context', elements: Array.from({ length: 10 }, () => mrkdwn(cutTo(3_000))) },
    {
      type: 'actions',
      elements: [{ type: 'button', text: plain(cutTo(75)), url: `https://example.com/${'y'.repeat(99)}` }],
    },
    { type: 'image', image_url: 'https://example.com/x.png', alt_text: cutTo(2_000) },
    {
      type: 'section',
      text: mrkdwn('ok'),
      accessory: { type: 'button', text: plain('Go'), confirm: { title: plain(cutTo(100)) } },
    },
  ])
})

t.test('a text that came out empty is shown as a dash, because Slack refuses empty ones', async (t) => {
  const { blocks } = cutToSlackLimits({ text: 'x', blocks: [{ type: 'section', text: mrkdwn('') }] })
  t.same(blocks, [{ type: 'section', text: mrkdwn('–') }])
})

t.test('whatever else stands in blocks stays as it is', async (t) => {
  const odd = [null, 1, 'text', [], { type: 7, text: ['a'] }, { type: 'section', fields: 'none', text: null }]
  t.same(cutToSlackLimits({ text: 'x', blocks: odd }).blocks, odd)
})

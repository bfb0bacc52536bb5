import t from 'tap'
import { bytes } from '../../src/cli/bytes.ts'

t.test('sizes are told in the largest unit that fits', async (t) => {
  t.same([0, 1023, 1024, 1_572_864, 448 * 1024, 31.4 * 1024 ** 3].map(bytes), [
    '0 bytes',
    '1023 bytes',
    '1.0 KB',
    '1.5 MB',
    '448 KB',
    '31 GB',
  ])
})

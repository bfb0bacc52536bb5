-- Sends the requests of a file one after the other: BENCH_REQUESTS names it, each has BENCH_SIZE bytes, and
-- BENCH_FIRST is the number of the first one.
local file = io.open(os.getenv('BENCH_REQUESTS'), 'rb')
local size = tonumber(os.getenv('BENCH_SIZE'))
file:seek('set', size * tonumber(os.getenv('BENCH_FIRST') or '0'))

function request()
  local text = file:read(size)
  if text == nil then
    file:seek('set', 0)
    text = file:read(size)
  end
  return text
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"failed":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end

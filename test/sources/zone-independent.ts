// What must hold whatever the zone of the machine; `time-zones.test.ts` runs it in several.
import '../domain/timestamp.test.ts'
import './signature-clocks.test.ts'
import './ultravox.test.ts'

// The same benchmarks through the Swift API: msgbox-swift server|client MODE SIZE COUNT PORT
// Modes: {udp,tcp}.rr by the async face, {udp,tcp}.{pipe,ow} by the box itself.
import CBench
import Glibc
import MsgBox

unsafe bench_begin(CommandLine.argc, CommandLine.unsafeArgv)
let workload = Workload(CommandLine.arguments)

if workload.isServer {
  try serve(workload)
  server_final()
} else {
  wait_for_server()
  switch workload.kind {
  case "rr": try await runRounds(workload)
  case "pipe": try Pipe(workload).measure()
  default: try OneWay(workload).measure()
  }
}

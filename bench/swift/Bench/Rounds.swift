import CBench
import MsgBox

/// One request at a time, awaited.
func runRounds(_ workload: Workload) async throws {
  let box = try AsyncMessageBox()
  let server = try await box.connect(to: workload.address, options: workload.options)
  let payload = [UInt8](repeating: 7, count: workload.size)
  var rounds = unsafe Rounds()
  unsafe rounds_init(&rounds)
  while unsafe rounds_left(&rounds) != 0 {
    unsafe rounds_begin(&rounds)
    let reply = try await server.get(payload)
    unsafe rounds_end(&rounds)
    guard reply.count == workload.size else { throw MessageError(.invalidArgument) }
  }
  unsafe report_rounds(&rounds)
  await box.close()
}

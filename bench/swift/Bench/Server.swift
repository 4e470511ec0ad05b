import CBench
import MsgBox

/// Answers requests and counts messages until the client says stop.
func serve(_ workload: Workload) throws {
  let box = try MessageBox()
  try box.listen(on: workload.address, options: workload.options)
  // Told to the client in portions, as those who read in batches do.
  var untold: UInt64 = 0
  func count() {
    untold += 1
    if untold >= 64 { tell() }
  }
  func tell() {
    if untold > 0 { server_received(untold) }
    untold = 0
  }
  var failure: MessageError?
  while server_stopped() == 0, failure == nil {
    try box.run(timeout: .milliseconds(100)) { event in
      switch event {
      case .listening: server_ready()
      case .listeningError(_, let error): failure = error
      case .message: count()
      case .request(let request, let bytes):
        do throws(MessageError) { try box.answer(bytes, to: request) } catch { failure = error }
        count()
      default: break
      }
    }
    tell()
  }
  if let failure { throw Broken(reason: failure) }
}

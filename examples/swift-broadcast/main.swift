// A server that tells news to all, and three who hear them, in one program:
// swift-broadcast [tcp|udp]
import Glibc
import MsgBox

let transport = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "udp"
let readers = 3

let box = try MessageBox()
let listener = try box.listen(on: "\(transport)://127.0.0.1:0")
var (ready, heard, delivered) = (0, 0, 0)

/// Tells the news to everybody reliably; each outcome comes with the number of the news.
@MainActor func publish(_ news: String, _ number: UInt) throws {
  let options = MessageBox.SendOptions.reliable(channel: 1, tellingOutcomeTo: number)
  let result = try box.broadcast(news, from: listener, options: options)
  print(news, "to", result.reached)
  for (connection, reason) in result.skipped { print("not to", connection.id, reason) }
}

@MainActor func handle(_ event: Event) throws {
  switch event {
  case .listening:
    for _ in 0..<readers { try box.connect(to: box.address(of: listener) ?? "") }
  case .connectionReady:
    ready += 1
    guard ready == readers else { return }
    try publish("first news", 1)
    try publish("second news", 2)
  case .message(_, let bytes):
    heard += 1
    print("heard", String(decoding: bytes))
  case .delivered(_, let number):
    print("news", number, "arrived")
    delivered += 1
    if delivered == 2 * readers { try box.unlisten(listener) }
  case .undelivered(_, let reason, let number):
    print("news", number, "did not:", reason)
  default:
    print(event.name)
  }
}

var isOver = false
while !isOver {
  try box.run { event in
    if case .listeningEnded = event { isOver = true }
    do { try handle(event) } catch { print(error) }
  }
}
box.close()
exit(heard == 2 * readers ? 0 : 1)

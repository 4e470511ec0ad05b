// Sends a file of 3 MiB and 300 small messages that must arrive, and disconnects:
// swift-reliable-client tcp|udp port
// The small ones have channels of their own, so over UDP they do not wait for the file. Ends well
// only if all were delivered.
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-reliable-client tcp|udp port")
  exit(2)
}
let file = (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 8) }
let checksum = file.reduce(0 as UInt32) { $0 &* 31 &+ UInt32($1) }
var (sent, delivered) = (0, 0)
var (isOver, isComplete) = (false, false)

let box = try MessageBox()
var options = Options()
options.sendMarkBytes = 16 << 20  // else the file alone is at the mark, and the rest would block
options.closeTimeout = .seconds(15)
let server = try box.connect(to: "\(arguments[1])://127.0.0.1:\(arguments[2])", options: options)

/// Exactly one of `delivered` and `undelivered` follows each send, with its context.
@MainActor func sendAll() throws(MessageError) {
  try box.send(
    "checksum \(checksum)", to: server, options: .reliable(channel: 1, tellingOutcomeTo: 1))
  try box.send(file, to: server, options: .reliable(channel: 1, tellingOutcomeTo: 2))
  for number in 0..<100 {
    for channel in 2...4 as ClosedRange<UInt8> {
      try box.send(
        "\(channel) \(number)", to: server,
        options: .reliable(channel: channel, tellingOutcomeTo: 3))
    }
  }
  sent = 302
}

while !isOver {
  try box.run { event in
    switch event {
    case .connectionSetup(let server):
      print(event.name)
      try? sendAll()
      try? box.disconnect(server)  // the end waits for what was accepted
    case .delivered(_, let context):
      delivered += 1
      if context == 1 { print("\(event.name): the checksum") }
      if context == 2 { print("\(event.name): the file") }
    case .undelivered(_, let error, _):
      print(event.name, "(\(error))")
    case .connectionClosed(_, let reason, let undelivered):
      print(event.name, "(\(reason))")
      print("\(delivered) of \(sent) delivered, \(undelivered) undelivered")
      isComplete = sent == 302 && delivered == sent && undelivered == 0
      isOver = true
    case .connectionSetupError(_, let error, _, _), .connectionLost(_, let error, _, _):
      print(event.name, "(\(error))")
      isOver = true
    default:
      print(event.name)
    }
  }
}
box.close()
exit(isComplete ? 0 : 1)

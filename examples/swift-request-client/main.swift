// Asks three things at once and tells the replies apart by their contexts:
// swift-request-client tcp|udp port
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-request-client tcp|udp port")
  exit(2)
}
var outcomes = 0
var replies = 0
var isOver = false

let box = try MessageBox()
let server = try box.connect(to: "\(arguments[1])://127.0.0.1:\(arguments[2])")
for number in 1...3 {
  try box.get("question \(number)", from: server, timeout: .seconds(2), context: UInt(number))
}

while !isOver {
  try box.run { event in
    switch event {
    case .reply(let server, let bytes, let number):
      print(event.name, "to question \(number): \"\(String(decoding: bytes))\"")
      replies += 1
      outcomes += 1
      if outcomes == 3 { try? box.disconnect(server) }
    case .replyMissing(let server, let error, let number):
      print(event.name, "to question \(number) (\(error))")
      outcomes += 1
      if outcomes == 3 { try? box.disconnect(server) }
    case .connectionClosed(_, let reason, _):
      print(event.name, "(\(reason))")
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
exit(replies == 3 ? 0 : 1)

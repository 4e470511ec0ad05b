// Sends one message and three gets to an echo server, and disconnects:
// swift-echo-client tcp|udp port
// Ends well only if the whole cycle was seen: setup, echo, three replies, closed.
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-echo-client tcp|udp port")
  exit(2)
}
let questions = ["one", "two", "three"]
var (echoes, replies, outcomes) = (0, 0, 0)
var (isOver, isComplete) = (false, false)

let box = try MessageBox()
let server = try box.connect(to: "\(arguments[1])://127.0.0.1:\(arguments[2])")

// No need to wait for the connection: what is queued leaves as soon as somebody is there.
try box.send("hello", to: server)
for (number, question) in questions.enumerated() {
  try box.get(question, from: server, context: UInt(number))
}

while !isOver {
  try box.run { event in
    switch event {
    case .message(_, let bytes):
      print(event.name, "\"\(String(decoding: bytes))\"")
      echoes += 1
    case .reply(_, let bytes, let context):
      print(event.name, "\"\(String(decoding: bytes))\"")
      if String(decoding: bytes) == questions[Int(context)] { replies += 1 }
      outcomes += 1
      if outcomes == 3 { try? box.disconnect(server) }
    case .replyMissing(_, let error, _):
      print(event.name, "(\(error))")
      outcomes += 1
      if outcomes == 3 { try? box.disconnect(server) }
    case .connectionClosed(_, let reason, _):
      print(event.name, "(\(reason))")
      isComplete = echoes == 1 && replies == 3 && reason.code == .closedLocally
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

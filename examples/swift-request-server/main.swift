// Collects three requests and then answers them, the last one first:
// swift-request-server tcp|udp port [connections]
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-request-server tcp|udp port [connections]")
  exit(2)
}
var connectionsLeft = arguments.count > 3 ? Int(arguments[3]) ?? 0 : -1
var isRunning = true
var waiting: [(Request, String)] = []

let box = try MessageBox()
let listener = try box.listen(on: "\(arguments[1])://*:\(arguments[2])")

while isRunning {
  try box.run { event in
    switch event {
    case .listening(let listener):
      print(event.name, "on port", box.localPort(of: listener) ?? 0)
    case .request(let request, let bytes):
      print(event.name, "\"\(String(decoding: bytes))\"")
      waiting.append((request, String(decoding: bytes)))
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      print(event.name, "(\(reason))")
      connectionsLeft -= 1
      if connectionsLeft == 0 { try? box.unlisten(listener) }
    case .listeningError, .listeningEnded:
      print(event.name)
      isRunning = false
    default:
      print(event.name)
    }
  }
  guard waiting.count >= 3 else { continue }
  // A request can be answered at any time; if its connection has ended, `answer` says so.
  while let (request, question) = waiting.popLast() {
    do {
      try box.answer("answer to \(question)", to: request)
      print("answered", question)
    } catch {
      print("not answered (\(error))")
    }
  }
}
box.close()

// Echoes every message and answers every request: swift-echo-server tcp|udp port [connections]
// With a third argument it ends after so many connections.
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-echo-server tcp|udp port [connections]")
  exit(2)
}
var connectionsLeft = arguments.count > 3 ? Int(arguments[3]) ?? 0 : -1
var isRunning = true

let box = try MessageBox()
let listener = try box.listen(on: "\(arguments[1])://*:\(arguments[2])")

while isRunning {
  try box.run { event in
    switch event {
    case .listening(let listener):
      print(event.name, "on port", box.localPort(of: listener) ?? 0)
    case .message(let connection, let bytes):
      print(event.name, "\"\(String(decoding: bytes))\"")
      try? box.send(bytes, to: connection)
    case .request(let request, let bytes):
      print(event.name, "\"\(String(decoding: bytes))\"")
      try? box.answer(bytes, to: request)
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      print(event.name, "(\(reason))")
      connectionsLeft -= 1
      if connectionsLeft == 0 { try? box.unlisten(listener) }
    case .listeningError(_, let error):
      print(event.name, "(\(error))")
      isRunning = false
    case .listeningEnded:
      print(event.name)
      isRunning = false
    default:
      print(event.name)
    }
  }
}
box.close()

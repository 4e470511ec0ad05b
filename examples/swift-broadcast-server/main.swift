// Waits for its clients, and then sends to one of them in turn and to all of them:
// swift-broadcast-server tcp|udp port [clients]
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-broadcast-server tcp|udp port [clients]")
  exit(2)
}
let clients = arguments.count > 3 ? Int(arguments[3]) ?? 0 : 3
var ready = 0
var skipped: [Connection] = []
var (isRunning, isComplete) = (true, false)

let box = try MessageBox()
var options = Options()
options.sendMarkMessages = 3  // so small that the second broadcast skips who got two of the others
let listener = try box.listen(on: "\(arguments[1])://*:\(arguments[2])", options: options)

@MainActor func speak() throws(MessageError) {
  for _ in 0...clients {  // each in turn, so the first one gets two
    let chosen = try box.sendAny("one", from: listener, options: .reliable())
    print("to one:", box.address(of: chosen) ?? "")
  }
  for _ in 1...2 {
    let result = try box.broadcast("all", from: listener, options: .reliable())
    print("to all: \(result.reached), skipped: \(result.skipped.count)")
    skipped = result.skipped.map { $0.connection }
  }
}

/// A client that was skipped because its queue was at the mark has room again.
@MainActor func makeUp(_ client: Connection) throws(MessageError) {
  guard skipped.contains(client) else { return }
  print("made up:", box.address(of: client) ?? "")
  try box.send("all", to: client, options: .reliable())
  isComplete = skipped.count == 1
  try box.unlisten(listener)  // delivers what was accepted
}

while isRunning {
  try box.run { event in
    switch event {
    case .listening(let listener):
      print(event.name, "on port", box.localPort(of: listener) ?? 0)
    case .connectionReady:
      print(event.name)
      ready += 1
      if ready == clients { try? speak() }
    case .writable(let client):
      print(event.name)
      try? makeUp(client)
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      print(event.name, "(\(reason))")
    case .listeningError, .listeningEnded:
      print(event.name)
      isRunning = false
    default:
      print(event.name)
    }
  }
}
box.close()
exit(isComplete ? 0 : 1)

// Three clients in one program, which count what they get until the server ends:
// swift-broadcast-client tcp|udp port
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-broadcast-client tcp|udp port")
  exit(2)
}
var counts = [(all: Int, one: Int)](repeating: (0, 0), count: 3)
var ended = 0

let box = try MessageBox()
var clients: [Connection] = []
for _ in counts {
  clients.append(try box.connect(to: "\(arguments[1])://127.0.0.1:\(arguments[2])"))
}

@MainActor func end(_ connection: Connection, _ text: String) {
  guard let client = clients.firstIndex(of: connection) else { return }
  print("client \(client): \(counts[client].all) for all, \(counts[client].one) for one (\(text))")
  ended += 1
}

while ended < clients.count {
  try box.run { event in
    switch event {
    case .message(let connection, let bytes):
      guard let client = clients.firstIndex(of: connection) else { return }
      if String(decoding: bytes) == "all" { counts[client].all += 1 }
      if String(decoding: bytes) == "one" { counts[client].one += 1 }
    case .connectionClosed(let connection, let reason, _):
      end(connection, "\(reason)")
    case .connectionSetupError(let connection, let error, _, _),
      .connectionLost(let connection, let error, _, _):
      end(connection, "\(error)")
    default:
      break
    }
  }
}
box.close()
let isComplete = counts.allSatisfy { $0.all == 2 } && counts.reduce(0) { $0 + $1.one } == 4
exit(isComplete ? 0 : 1)

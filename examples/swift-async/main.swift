// Server and client in one program, with async and await: swift-async [tcp|udp]
import MsgBox

let transport = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "udp"

/// Answers every request and echoes every message until its box ends.
func serve(_ box: AsyncMessageBox) async throws {
  for await event in box.events {
    print("server", event.name)
    switch event {
    case .message(let connection, let bytes): try await box.send(bytes, to: connection)
    case .request(let request, let bytes): try await box.answer(bytes, to: request)
    default: break
    }
  }
}

let server = try AsyncMessageBox()
let listener = try await server.listen(on: "\(transport)://127.0.0.1:0")
let port = try await server.withBox { box in box.localPort(of: listener) ?? 0 }
print("server listening on port \(port)")
async let serving: Void = serve(server)

let client = try AsyncMessageBox()
let connection = try await client.connect(to: "\(transport)://127.0.0.1:\(port)")
print("client connected")

// Three questions at once; each call returns the reply to its own.
try await withThrowingTaskGroup { group in
  for number in 1...3 {
    group.addTask {
      let reply = try await connection.get(Array("question \(number)".utf8), timeout: .seconds(2))
      print("client got \"\(String(decoding: reply, as: UTF8.self))\"")
    }
  }
  try await group.waitForAll()
}

try await connection.send(Array("goodbye".utf8))
for await event in client.events {
  print("client", event.name)
  if case .message = event { try await connection.disconnect() }
  if case .connectionClosed = event { break }
}
await client.close()
await server.close()
try await serving

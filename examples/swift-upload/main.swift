// Sends 16 MiB in parts, as fast as the other side takes them, with async and await:
// swift-upload [tcp|udp]
import Glibc
import MsgBox

let transport = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "udp"
let parts = 1024

/// Takes parts until the connection ends; returns their bytes, nil if one was out of order.
func receive(_ box: AsyncMessageBox) async -> Int? {
  var (count, bytes, isInOrder) = (0, 0, true)
  for await event in box.events {
    switch event {
    case .message(_, let part):
      isInOrder = isInOrder && part.first == UInt8(truncatingIfNeeded: count)
      count += 1
      bytes += part.count
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      print("server:", count, "messages,", reason)
      return isInOrder ? bytes : nil
    default: break
    }
  }
  return nil
}

let server = try AsyncMessageBox()
let listener = try await server.listen(on: "\(transport)://127.0.0.1:0")
let port = try await server.withBox { box in box.localPort(of: listener) ?? 0 }
async let received = receive(server)

let client = try AsyncMessageBox()
let connection = try await client.connect(to: "\(transport)://127.0.0.1:\(port)")
var part = [UInt8](repeating: 0, count: 16_384)
for number in 0..<parts {
  part[0] = UInt8(truncatingIfNeeded: number)
  // Waits while the queue is full.
  try await connection.send(part, options: .reliable(channel: 1))
}
// Returns when it has arrived, and so has everything before it in its channel.
try await connection.send(reliable: [UInt8(truncatingIfNeeded: parts)], channel: 1)
print("client: all arrived")
try await connection.disconnect()

let bytes = await received
print("server:", bytes ?? 0, "bytes in order")
await client.close()
await server.close()
exit(bytes == parts * part.count + 1 ? 0 : 1)

// Sends 20000 numbered messages of 1000 bytes as fast as the consumer takes them:
// swift-backpressure-producer tcp|udp port
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-backpressure-producer tcp|udp port")
  exit(2)
}
let total = 20_000
var (sent, waits) = (0, 0)
var bytes = [UInt8](repeating: 0, count: 1000)
var (isOver, isComplete) = (false, false)

let box = try MessageBox()
try box.connect(to: "\(arguments[1])://127.0.0.1:\(arguments[2])")

/// Sends until the queue is at its mark; `writable` goes on from there.
@MainActor func produce(for consumer: Connection) {
  while sent < total {
    for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: sent >> (8 * index)) }
    do throws(MessageError) {
      try box.send(bytes, to: consumer, options: .reliable(channel: 1))
    } catch {
      if error.code == .wouldBlock { waits += 1 }
      return
    }
    sent += 1
  }
  try? box.disconnect(consumer)  // the end waits for what was accepted
}

while !isOver {
  try box.run { event in
    switch event {
    case .connectionSetup(let consumer), .writable(let consumer):
      produce(for: consumer)
    case .connectionClosed(_, _, let undelivered):
      let waited = waits > 0 ? "at the mark" : "never"
      print("\(sent) sent, waited \(waited), \(undelivered) undelivered")
      isComplete = sent == total && waits > 0 && undelivered == 0
      isOver = true
    case .connectionSetupError(_, let error, _, _), .connectionLost(_, let error, _, _):
      print(event.name, "(\(error))")
      isOver = true
    default:
      break
    }
  }
}
box.close()
exit(isComplete ? 0 : 1)

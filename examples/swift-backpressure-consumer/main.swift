// Counts the numbers that a producer sends, and those that are not the next:
// swift-backpressure-consumer tcp|udp port [producers]
// Ends well only if none was missing or out of order.
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-backpressure-consumer tcp|udp port [producers]")
  exit(2)
}
var producersLeft = arguments.count > 3 ? Int(arguments[3]) ?? 0 : -1
var isRunning = true
var (received, mistakes) = (0 as UInt64, 0)

let box = try MessageBox()
let listener = try box.listen(on: "\(arguments[1])://*:\(arguments[2])")

while isRunning {
  try box.run { event in
    switch event {
    case .message(_, let bytes):
      // The number is in the first 8 bytes, the lowest one first.
      var number: UInt64 = 0
      for byte in [UInt8](bytes).prefix(8).reversed() { number = number << 8 | UInt64(byte) }
      if number != received { mistakes += 1 }
      received += 1
    case .listening(let listener):
      print(event.name, "on port", box.localPort(of: listener) ?? 0)
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      print(event.name, "(\(reason))")
      print("\(received) received, \(mistakes) mistakes")
      received = 0
      producersLeft -= 1
      if producersLeft == 0 { try? box.unlisten(listener) }
    case .listeningError, .listeningEnded:
      print(event.name)
      isRunning = false
    default:
      print(event.name)
    }
  }
}
box.close()
exit(mistakes == 0 && producersLeft <= 0 ? 0 : 1)

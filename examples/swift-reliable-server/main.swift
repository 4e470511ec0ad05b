// Receives a file and many small messages, each once and in the order of its channel:
// swift-reliable-server tcp|udp port [connections]
// Ends well only if nothing was missing, out of order or changed.
import Glibc
import MsgBox

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
  print("usage: swift-reliable-server tcp|udp port [connections]")
  exit(2)
}
var connectionsLeft = arguments.count > 3 ? Int(arguments[3]) ?? 0 : -1
var isRunning = true
/// The checksum of the file, as its sender says.
var announced: UInt32?
var fileIsRight = false
/// Of each channel: the number that comes next.
var next = [Int](repeating: 0, count: 8)
var mistakes = 0

@MainActor func receive(_ bytes: RawSpan) {
  guard bytes.byteCount < 64 else {
    var checksum: UInt32 = 0
    for byte in [UInt8](bytes) { checksum = checksum &* 31 &+ UInt32(byte) }
    fileIsRight = checksum == announced
    print("file of \(bytes.byteCount) bytes, checksum", fileIsRight ? "right" : "wrong")
    return
  }
  // The checksum came before the file because both are of one channel, as are the numbers of each.
  let words = String(decoding: bytes).split(separator: " ")
  if words.first == "checksum" {
    announced = UInt32(words[1])
  } else if words.count == 2, let channel = Int(words[0]), (0..<8).contains(channel),
    Int(words[1]) == next[channel]
  {
    next[channel] += 1
  } else {
    mistakes += 1
  }
}

@MainActor func report() {
  for (channel, count) in next.enumerated() where count > 0 {
    print("channel \(channel): \(count) messages")
  }
  if !fileIsRight { mistakes += 1 }
  print("\(mistakes) mistakes")
  next = [Int](repeating: 0, count: 8)
  fileIsRight = false
}

let box = try MessageBox()
var options = Options()
options.maxMessageBytes = 16 << 20  // over UDP the default is 1 MiB
let listener = try box.listen(on: "\(arguments[1])://*:\(arguments[2])", options: options)

while isRunning {
  try box.run { event in
    switch event {
    case .listening(let listener):
      print(event.name, "on port", box.localPort(of: listener) ?? 0)
    case .message(_, let bytes):
      receive(bytes)
    case .connectionClosed(_, let reason, _), .connectionLost(_, let reason, _, _):
      print(event.name, "(\(reason))")
      report()
      connectionsLeft -= 1
      if connectionsLeft == 0 { try? box.unlisten(listener) }
    case .listeningError, .listeningEnded:
      print(event.name)
      isRunning = false
    default:
      print(event.name)
    }
  }
}
box.close()
exit(mistakes == 0 && connectionsLeft <= 0 ? 0 : 1)

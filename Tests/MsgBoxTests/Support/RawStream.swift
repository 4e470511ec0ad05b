import MsgBox

/// A TCP client that speaks raw bytes, each `send` in one piece.
final class RawStream {
  private(set) var received: [UInt8] = []
  private(set) var end: StreamEnd?
  private let host: Node
  private let side: StreamSide
  private let simulation: Simulation

  /// Connects from `host`, whose own endpoint has no part in it; nil if nobody listens.
  init?(from host: Node, to address: Address) {
    self.host = host
    simulation = host.simulation
    host.streamPiece = 1 << 20
    host.nextPort += 1
    side = StreamSide(host, local: Address(ip: host.ip, port: host.nextPort), remote: address)
    side.attach(host.addSocket(.stream(side), local: side.local, remote: address))
    guard simulation.node(at: address.ip)?.acceptStream(from: side) == true else { return nil }
    side.onBytes = { [unowned self] in received += $0 }
    side.onEnd = { [unowned self] in end = $0 }
  }

  func send(_ bytes: [UInt8]) {
    _ = side.write(bytes)
  }

  func shutDownWrite() { side.shutDownWrite() }

  func close() { release()?.close() }

  func reset() { release()?.reset() }

  private func release() -> StreamSide? {
    side.socket.flatMap { host.removeSocket($0.id) }?.stream
  }

  /// Says hello, and waits for the accept.
  func shakeHands(own: UInt64 = 77) -> Bool {
    send(RawPacket.frame(RawPacket.hello(own: own)))
    return simulation.run(within: .seconds(2)) { self.frames.contains { $0[1] == 6 } }
  }

  /// The packets of the complete frames that came.
  var frames: [[UInt8]] {
    var frames: [[UInt8]] = []
    var offset = 0
    while let length = RawPacket.number(received, at: offset, count: 4),
      offset + 4 + Int(length) <= received.count
    {
      frames.append(Array(received[(offset + 4)..<(offset + 4 + Int(length))]))
      offset += 4 + Int(length)
    }
    return frames
  }
}

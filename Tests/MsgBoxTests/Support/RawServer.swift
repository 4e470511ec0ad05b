import MsgBox
import Testing

/// A listening node and a UDP client that speaks raw bytes.
struct RawServer {
  let simulation: Simulation
  let server: Node
  let listener: Handle
  let address: Address
  let stranger: Stranger

  init(options: ConnectionOptions = .init(), seed: UInt64 = 1) throws {
    simulation = Simulation(seed: seed)
    server = simulation.addNode("server")
    listener = server.listen(.udp, options: options, context: 100)
    _ = try #require(server.wait(for: .listening))
    address = server.address(of: listener)
    stranger = simulation.addStranger(at: RawServer.strangerAddress(1))
  }

  /// The address of the stranger with this number; each 256 of them share a prefix.
  static func strangerAddress(_ number: Int, port: UInt16 = 5000) -> Address {
    Address(ip: IPAddress(v4: 0xc000_0000 + UInt32(number)), port: port)
  }

  /// Shakes hands as the stranger; gives the session to send with and the server's handle.
  func join(own: UInt64 = 77) throws -> (session: UInt64, handle: Handle) {
    let readies = server.log.count(.connectionReady)
    let session = try #require(stranger.shakeHands(with: address, own: own, in: simulation))
    let ready = try #require(server.wait(for: .connectionReady, count: readies + 1))
    return (session, ready.handle)
  }

  /// Sends as the stranger, and lets the answer come.
  func send(_ packets: [UInt8]...) {
    for packet in packets { stranger.send(packet, to: address) }
    simulation.run(for: .milliseconds(50))
  }

  /// The kinds of the datagrams that the stranger got since it last forgot.
  var answers: [RawPacket.Kind?] { stranger.received.map(\.kind) }
}

import MsgBox
import Testing

/// What a program or a system that is slow does.
extension Node {
  func untaken(_ handle: Handle, messages: Int, bytes: Int = 0) {
    endpoint.untaken(handle, messages: messages, bytes: bytes)
    scheduleTurn()
  }

  /// The system's buffer of a connection's socket is full, or has room again.
  func setBlocked(_ handle: Handle, _ isBlocked: Bool) {
    if let socket = endpoint.socket(of: handle) { endpoint.setBlocked(socket, isBlocked) }
    scheduleTurn()
  }

  func setLimits(_ change: (inout BoxLimits) -> Void) {
    var limits = BoxLimits()
    change(&limits)
    let isValid = endpoint.setLimits(limits)
    #expect(isValid)
  }

  /// One turn of a loop whose socket takes everything: where each datagram goes, and its size.
  func turnByHand() -> [(remote: Address, count: Int)] {
    var sent: [(remote: Address, count: Int)] = []
    var room = [UInt8](repeating: 0, count: 1200)
    endpoint.beginTurn(at: now)
    while true {
      var span = room.mutableSpan
      guard let transmit = endpoint.pollTransmit(into: &span, at: now) else { return sent }
      sent.append((transmit.remote, transmit.count))
    }
  }
}

/// A server and so many clients of it, each a connection of one node.
struct Crowd {
  let simulation: Simulation
  let server: Node
  let client: Node
  let listener: Handle
  /// The clients' connections, and the server's, in the order of their coming.
  let up: [Handle]
  let down: [Handle]

  init(
    _ transport: Transport, count: Int, seed: UInt64 = 1, options: ConnectionOptions = .init(),
    clientOptions: ConnectionOptions = .init()
  ) throws {
    simulation = Simulation(seed: seed)
    server = simulation.addNode("server")
    client = simulation.addNode("client")
    listener = server.listen(transport, options: options)
    _ = try #require(server.wait(for: .listening))
    let address = server.address(of: listener)
    var up: [Handle] = []
    for _ in 0..<count { up.append(client.connect(transport, to: address, options: clientOptions)) }
    _ = try #require(client.wait(for: .connectionSetup, count: count))
    _ = try #require(server.wait(for: .connectionReady, count: count))
    simulation.run(for: .seconds(1))
    self.up = up
    down = server.log.all(.connectionReady).map(\.handle)
  }
}

func sendOptions(_ change: (inout SendOptions) -> Void) -> SendOptions {
  var options = SendOptions()
  change(&options)
  return options
}

import MsgBox
import Testing

/// A server that listens and a client that has connected to it.
struct Pair {
  let simulation: Simulation
  let server: Node
  let client: Node
  let listener: Handle
  /// The server's address.
  let address: Address
  /// The client's connection.
  let up: Handle
  /// The server's connection.
  let down: Handle

  init(
    _ transport: Transport, seed: UInt64 = 1, serverOptions: ConnectionOptions = .init(),
    clientOptions: ConnectionOptions = .init(), conditions: LinkConditions = .init()
  ) throws {
    simulation = Simulation(seed: seed)
    simulation.conditions = conditions
    server = simulation.addNode("server")
    client = simulation.addNode("client")
    listener = server.listen(transport, options: serverOptions, context: 100)
    _ = try #require(server.wait(for: .listening))
    address = server.address(of: listener)
    up = client.connect(transport, to: address, options: clientOptions, context: 200)
    _ = try #require(client.wait(for: .connectionSetup))
    down = try #require(server.wait(for: .connectionReady)).handle
  }

  func run(for interval: Interval) { simulation.run(for: interval) }

  /// Ends both sides and holds that nothing is left of them.
  func finish() {
    finishAll(simulation)
  }
}

/// The argument of a test that must hold on both.
let bothTransports: [Transport] = [.tcp, .udp]

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

/// Ends everything of every node, and holds that each handle ended and no memory is left.
func finishAll(_ simulation: Simulation) {
  endEverything(simulation)
  simulation.run(within: .seconds(90)) {
    simulation.nodes.allSatisfy { !$0.isAlive || $0.guarantees.handlesAlive.isEmpty }
  }
  simulation.run(for: .seconds(32))
  for node in simulation.nodes where node.isAlive { checkEmpty(node) }
}

private func endEverything(_ simulation: Simulation) {
  for node in simulation.nodes where node.isAlive {
    node.resume()
    for handle in node.guarantees.handlesAlive {
      _ = node.guarantees.isListener(handle) ? node.unlisten(handle) : node.disconnect(handle)
    }
  }
}

private func checkEmpty(_ node: Node) {
  let alive = node.guarantees.handlesAlive.count
  if alive > 0 { node.simulation.violation("\(node.name): \(alive) handles have no end") }
  let outcomes = node.guarantees.outcomesMissing
  if outcomes > 0 { node.simulation.violation("\(node.name): \(outcomes) outcomes are missing") }
  let census = node.endpoint.census
  if !census.isEmpty { node.simulation.violation("\(node.name): holds \(census) at the end") }
  if node.openSockets > 0 {
    node.simulation.violation("\(node.name): \(node.openSockets) sockets are open at the end")
  }
  if node.endpoint.nextDeadline != nil {
    node.simulation.violation("\(node.name): a timer is left at the end")
  }
}

/// Options with times so short that a test sees many of them.
func quickOptions() -> ConnectionOptions {
  var options = ConnectionOptions()
  options.heartbeat = .milliseconds(200)
  options.suspect = .milliseconds(400)
  options.lost = .milliseconds(1500)
  options.connectTimeout = .seconds(2)
  options.getTimeout = .milliseconds(500)
  return options
}

extension Census {
  /// Whether nothing at all is held.
  var isEmpty: Bool {
    connections == 0 && listeners == 0 && pendingHellos == 0 && tombstones == 0
      && getsWaiting == 0 && requestsOpen == 0 && queuedMessages == 0 && queuedBytes == 0
      && incompleteBytes == 0 && outboxMessages == 0 && pathChanges == 0
  }
}

/// The argument of a test that must hold on both.
let bothTransports: [Transport] = [.tcp, .udp]

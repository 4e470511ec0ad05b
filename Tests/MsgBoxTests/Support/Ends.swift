import MsgBox

/// Ends everything of every node, and holds that each handle ended and no memory is left, nor, once the rotations have met
/// what has ended, anything to do.
func finishAll(_ simulation: Simulation) {
  endEverything(simulation)
  simulation.run(within: .seconds(90)) {
    simulation.nodes.allSatisfy { !$0.isAlive || $0.guarantees.handlesAlive.isEmpty }
  }
  simulation.run(for: .seconds(32))
  for node in simulation.nodes where node.isAlive { checkEmpty(node) }
  simulation.run(for: .seconds(30))
  for node in simulation.nodes where node.isAlive && node.endpoint.nextDeadline != nil {
    simulation.violation("\(node.name): a timer is left at the end")
  }
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

import MsgBox

/// A server and its clients over bad links for a long time: every other client asks and sends
/// reliably once a minute, the others are idle; each changes its address now and then. Of the idle
/// ones a few take turns in closing their connection and coming again, one a minute.
final class Day {
  let simulation: Simulation
  let server: Node
  let clients: [Node]
  private(set) var gets = 0
  private(set) var replies = 0
  private(set) var sent = 0
  private(set) var echoes = 0
  private(set) var addressChanges = 0
  /// Connections that ended by themselves, each followed by another; what they took along is not
  /// counted as sent.
  private(set) var losses = 0
  /// Connections that their clients closed, each followed by another.
  private(set) var departures = 0

  private var address = Address.unspecified
  private var connections: [Handle] = []
  private var firstConnections: [Handle] = []
  private var isLeaving: [Bool]
  /// What the server holds, and all clients together, since `lookAfresh`.
  private(set) var serverHolds: InventoryRange
  private(set) var clientsHold: InventoryRange
  /// The numbers of the next messages: of those that each client sends, of those that come back,
  /// and by connection of those that the server gets.
  private var nextSent: [UInt32]
  private var nextEcho: [UInt32]
  private var nextReceived: [Handle: UInt32] = [:]

  init(seed: UInt64, clients count: Int) {
    simulation = Simulation(seed: seed)
    server = simulation.addNode("server")
    clients = (0..<count).map { [simulation] in simulation.addNode("client \($0)") }
    nextSent = [UInt32](repeating: 0, count: count)
    nextEcho = nextSent
    isLeaving = [Bool](repeating: false, count: count)
    serverHolds = InventoryRange(Inventory(server))
    clientsHold = InventoryRange(Inventory(sum: clients))
    for node in simulation.nodes { node.log.isCountingOnly = true }
    server.onEvent = { [unowned self] _, event in serve(event) }
    for (index, client) in clients.enumerated() {
      client.onEvent = { [unowned self] _, event in hear(event, index) }
    }
  }

  /// Whether all clients came in.
  func begin() -> Bool {
    let listener = server.listen(.udp)
    simulation.run(within: .seconds(5)) { server.log.count(.listening) == 1 }
    address = server.address(of: listener)
    connections = clients.map { $0.connect(.udp, to: address) }
    firstConnections = connections
    simulation.run(within: .seconds(30)) { server.log.count(.connectionReady) == clients.count }
    return server.log.count(.connectionReady) == clients.count
  }

  /// One minute in which each client has its turn; every `period` minutes of its own it changes its
  /// address before that, 0 is never.
  func minute(_ number: Int, addressesChangeEvery period: Int) {
    let gap = Interval(nanoseconds: 60_000_000_000 / UInt64(clients.count))
    for index in clients.indices {
      if period > 0, (number + index) % period == 0 { changeAddress(index) }
      if isTalker(index) { talk(index) }
      if index == leaver(number) { leave(index) }
      simulation.run(for: gap)
      if index % 20 == 0 { look() }
    }
  }

  // MARK: What is held

  func lookAfresh() {
    serverHolds = InventoryRange(Inventory(server))
    clientsHold = InventoryRange(Inventory(sum: clients))
  }

  private func look() {
    serverHolds.add(Inventory(server))
    clientsHold.add(Inventory(sum: clients))
  }

  // MARK: Who does what

  private func isTalker(_ index: Int) -> Bool { index % 2 == 0 }

  /// Who closes its connection in a minute. Of some the address has just changed: the server cannot
  /// tell that close from a forged one, and loses them by their silence.
  private func leaver(_ minute: Int) -> Int { minute % (clients.count / 10) * 10 + 9 }

  /// Idle for all of the time.
  private var idle: [Int] { clients.indices.filter { !isTalker($0) && $0 % 10 != 9 } }

  var idleCount: Int { idle.count }

  /// The heartbeats of the one that has sent the fewest, and the most.
  var idleBeats: ClosedRange<UInt64> {
    let beats = idle.map { clients[$0].counters.heartbeatsSent }
    return (beats.min() ?? 0)...(beats.max() ?? 0)
  }

  /// Connections that the clients were told to be set up.
  var setups: Int { clients.reduce(0) { $0 + $1.log.count(.connectionSetup) } }

  /// How many of them have the connection that they began with, and it is open.
  var idleThroughout: Int {
    idle.count { index in
      connections[index] == firstConnections[index]
        && clients[index].guarantees.openConnections == [connections[index]]
    }
  }

  // MARK: The programs

  private func changeAddress(_ index: Int) {
    clients[index].rebind(connections[index])
    addressChanges += 1
  }

  private func leave(_ index: Int) {
    guard clients[index].disconnect(connections[index]) == .ok else { return }
    isLeaving[index] = true
  }

  private func talk(_ index: Int) {
    gets += 1
    _ = clients[index].get("time?", from: connections[index], context: UInt(gets))
    let number = nextSent[index]
    nextSent[index] += 1
    sent += 1
    // Every eighth takes several packets.
    let message = Content(
      .reliable, channel: 1, sender: UInt64(index), sequence: number,
      count: number % 8 == 7 ? 5000 : 100
    ).bytes
    let status = clients[index].sendReliably(message, to: connections[index], channel: 1)
    if status != .ok { simulation.violation("a message is refused: \(status)") }
  }

  private func serve(_ event: LoggedEvent) {
    switch event.kind {
    case .request:
      _ = server.answer("noon", to: event.request)
    case .message:
      check(event, &nextReceived[event.handle, default: 0], "the server")
      _ = server.sendReliably(event.bytes, to: event.handle, channel: 1)
    case .connectionClosed, .connectionLost: nextReceived[event.handle] = nil
    default: break
    }
  }

  private func hear(_ event: LoggedEvent, _ index: Int) {
    switch event.kind {
    case .reply: replies += 1
    case .message:
      echoes += 1
      check(event, &nextEcho[index], "client \(index)")
    case .connectionLost, .connectionClosed, .connectionSetupError: comeAgain(index)
    default: break
    }
  }

  private func comeAgain(_ index: Int) {
    if isLeaving[index] { departures += 1 } else { losses += 1 }
    isLeaving[index] = false
    sent -= Int(nextSent[index] - nextEcho[index])
    nextSent[index] = 0
    nextEcho[index] = 0
    connections[index] = clients[index].connect(.udp, to: address)
  }

  private func check(_ event: LoggedEvent, _ next: inout UInt32, _ who: String) {
    if Content(event.bytes)?.sequence != next {
      simulation.violation("\(who) gets another message than \(next)")
    }
    next += 1
  }

  // MARK: The end

  /// The programs of the nodes stop; what is under way arrives.
  func end() {
    simulation.run(within: .seconds(120)) {
      echoes == sent && server.log.count(.connectionReady) == setups
    }
    server.onEvent = nil
    for client in clients { client.onEvent = nil }
  }
}

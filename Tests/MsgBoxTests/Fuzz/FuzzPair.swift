import MsgBox

/// Two hosts, each with a listener and programs that send, ask, answer and end, and a network that does to datagrams
/// what the input says.
///
/// The guarantees of both are watched all the time, and nothing may be left at the end. As long as nobody on the path
/// has changed a byte, contents are held as well: what is reliable arrives once and in order, a request reaches its
/// program at most once, and a reply answers its own request.
final class FuzzPair {
  let simulation: Simulation
  private let transports: [Transport]
  private let options: ConnectionOptions
  private let flows = Flows()
  var network = FuzzNetwork()
  private var contexts: UInt = 0
  private var gets: [(node: Node, get: Handle)] = []
  private var waiting: [(node: Node, request: Handle, reply: [UInt8])] = []
  /// Numbers of the requests that have reached a program.
  private var handled: Set<UInt32> = []
  /// What the programs do at the next events.
  private var reactions: [UInt8] = []
  private var wasKilled = false
  /// A stream on its way waits for each of its losses in turn, perhaps for minutes.
  private var hasSlowStreams = false
  /// Of messages to several connections, which are of no flow.
  private var toMany: Set<UInt> = []

  init(_ input: inout FuzzInput) {
    simulation = Simulation(seed: UInt64(input.byte()))
    let mode = input.byte()
    transports = [[.udp], [.tcp], [.udp, .tcp], [.udp]][Int(mode & 3)]
    options = Self.options(mode)
    network.isTampered = options.implicitPeers
    simulation.conditions.latency = .milliseconds(UInt64(input.byte() % 64))
    simulation.onDatagram = { [unowned self] in meet($0) }
    for name in ["left", "right"] {
      let node = simulation.addNode(name)
      node.onEvent = { [unowned self] in react($0, $1) }
      node.streamPiece = mode & 128 == 0 ? nil : 7
      listen(node)
    }
    simulation.run(for: .milliseconds(1))
    connect(simulation.nodes[0], transports[0])
  }

  private static func options(_ mode: UInt8) -> ConnectionOptions {
    var options = mode & 4 == 0 ? quickOptions() : ConnectionOptions()
    if mode & 8 != 0 { options.liveness = .onDemand }
    if mode & 16 != 0 { options.reconnectWait = .milliseconds(300) }
    if mode & 32 != 0 { options.sendMarkMessages = 3 }
    options.implicitPeers = mode & 64 != 0
    return options
  }

  /// Takes the steps that the input says, ends everything, and holds that nothing is left.
  func run(_ input: inout FuzzInput) {
    let end = simulation.now + .seconds(60)
    var steps = 0
    while !input.isEmpty, steps < 200, simulation.now < end {
      steps += 1
      step(&input)
    }
    finish()
    simulation.tearDown()
  }

  private func step(_ input: inout FuzzInput) {
    switch input.byte() % 28 {
    case 0...3: send(&input)
    case 4...6: sendReliably(&input)
    case 7, 8: ask(&input)
    case 9: answer(&input)
    case 10: if let (node, get) = take(&gets, &input) { _ = node.cancel(get: get) }
    case 11: sendToMany(&input)
    case 12...15: simulation.run(for: .milliseconds(UInt64(input.byte())))
    case 16: simulation.run(for: .milliseconds(UInt64(input.byte()) * 20))
    case 17: if let (node, handle) = handle(&input) { _ = node.disconnect(handle) }
    case 18: if let (node, handle) = handle(&input) { _ = node.abort(handle) }
    case 19: unlisten(&input)
    case 20: if let node = node(&input) { connect(node, input.choice(of: transports) ?? .udp) }
    case 21: reactions = Array(input.string().prefix(20))
    case 22: pauseOrResume(&input)
    case 23: killOrRestart(&input)
    case 24: changeLinks(&input)
    default: network.decide(&input)
    }
  }

  // MARK: Who

  private func node(_ input: inout FuzzInput) -> Node? {
    let node = simulation.nodes[Int(input.byte() & 1)]
    return node.isAlive && !node.isPaused ? node : nil
  }

  private func handle(_ input: inout FuzzInput) -> (Node, Handle)? {
    guard let node = node(&input), let handle = input.choice(of: node.guarantees.handlesAlive)
    else { return nil }
    return (node, handle)
  }

  private func take(
    _ list: inout [(node: Node, get: Handle)], _ input: inout FuzzInput
  ) -> (Node, Handle)? {
    guard !list.isEmpty else { return nil }
    let (node, get) = list.remove(at: Int(input.byte()) % list.count)
    return node.isAlive && !node.isPaused ? (node, get) : nil
  }

  private func listen(_ node: Node) {
    for transport in transports {
      contexts += 1
      _ = node.listen(transport, port: 7000, options: options, context: contexts)
    }
  }

  private func connect(_ node: Node, _ transport: Transport) {
    guard node.guarantees.handlesAlive.count < 8 else { return }
    let other = simulation.nodes[node === simulation.nodes[0] ? 1 : 0]
    contexts += 1
    _ = node.connect(
      transport, to: Address(ip: other.ip, port: 7000), options: options, context: contexts)
  }

  // MARK: What the programs do

  /// Mostly small, at times of several packets; never too short to be told from others.
  private func size(_ input: inout FuzzInput) -> Int {
    let size = input.byte()
    return Content.headerBytes + (size < 200 ? Int(size) : Int(input.word() % 20_000))
  }

  private func send(_ input: inout FuzzInput) {
    guard let (node, handle) = handle(&input) else { return }
    var options = SendOptions()
    choose(&options, input.byte(), firstKey: 3)
    contexts += 1
    _ = node.send(plain(size(&input)), to: handle, options: options)
  }

  private func plain(_ count: Int) -> [UInt8] {
    Content(.unreliable, sender: 0, sequence: UInt32(truncatingIfNeeded: contexts), count: count)
      .bytes
  }

  private func sendReliably(_ input: inout FuzzInput) {
    guard let (node, handle) = handle(&input) else { return }
    let choice = input.byte()
    contexts += 1
    var options = reliableOptions(outcome: contexts)
    choose(&options, choice, firstKey: 1)
    // One that takes the place of another is not in the order of the calls.
    options.channel = options.key != 0 ? 0 : choice >> 4 & 3
    let mayVanish = options.deadline.nanoseconds > 0 || options.key != 0
    let (flow, count) = (flows[handle.rawValue], size(&input))
    let bytes = flow.next(channel: options.channel, count: count)
    guard node.send(bytes, to: handle, options: options) == .ok else { return }
    flow.accepted(channel: options.channel, count: count, mayVanish: mayVanish)
  }

  private func choose(_ options: inout SendOptions, _ choice: UInt8, firstKey: UInt64) {
    if choice & 3 == 3 { options.deadline = .milliseconds(1 + UInt64(choice >> 2)) }
    if choice & 12 == 12 { options.key = firstKey + UInt64(choice & 1) }
    options.isAlone = choice & 0xc0 == 0xc0
  }

  private func ask(_ input: inout FuzzInput) {
    guard let (node, handle) = handle(&input) else { return }
    contexts += 1
    let timeout = input.flag() ? Interval.milliseconds(1 + UInt64(input.byte())) : nil
    let content = Content(
      .request, sender: 0, sequence: UInt32(truncatingIfNeeded: contexts), count: size(&input))
    let result = node.ask(content.bytes, from: handle, context: contexts, timeout: timeout)
    if case .success(let get) = result { gets.append((node, get)) }
  }

  private func answer(_ input: inout FuzzInput) {
    guard !waiting.isEmpty else { return }
    let (node, request, reply) = waiting.remove(at: Int(input.byte()) % waiting.count)
    if node.isAlive, !node.isPaused { _ = node.answer(reply, to: request) }
  }

  private func sendToMany(_ input: inout FuzzInput) {
    guard let (node, handle) = handle(&input), node.guarantees.isListener(handle) else { return }
    contexts += 1
    let choice = input.byte()
    let options =
      choice & 1 == 0 ? reliableOptions(channel: 9, outcome: contexts) : SendOptions()
    toMany.insert(contexts)
    let bytes = plain(size(&input))
    if choice & 2 == 0 {
      _ = node.broadcast(bytes, from: handle, options: options)
    } else {
      _ = node.sendAny(bytes, from: handle, options: options)
    }
  }

  private func unlisten(_ input: inout FuzzInput) {
    guard let (node, handle) = handle(&input) else { return }
    if node.guarantees.isListener(handle) { _ = node.unlisten(handle) } else { listen(node) }
  }

  private func react(_ node: Node, _ event: LoggedEvent) {
    switch event.kind {
    case .message: check(node, flows.receive(event.bytes))
    case .request: request(node, event)
    case .reply: checkReply(node, event)
    default: break
    }
    guard !reactions.isEmpty else { return }
    switch reactions.removeFirst() % 10 {
    case 0: _ = node.disconnect(event.handle)
    case 1: _ = node.abort(event.handle)
    case 2: _ = node.unlisten(event.listener == .none ? event.handle : event.listener)
    case 3, 4:
      contexts += 1
      _ = node.send(plain(40), to: event.handle)
    default: break
    }
  }

  private func request(_ node: Node, _ event: LoggedEvent) {
    var reply = event.bytes
    if let content = Content(event.bytes), content.kind == .request {
      check(node, handled.insert(content.sequence).inserted ? nil : "a request came twice")
      let count = content.sequence % 5 == 0 ? 3000 : content.count
      reply = Content(.reply, sender: 0, sequence: content.sequence, count: count).bytes
    } else {
      check(node, "a request that nobody made")
    }
    // Some are answered by the script, later or never.
    if reactions.first.map({ $0 & 16 == 0 }) ?? true {
      _ = node.answer(reply, to: event.request)
    } else {
      waiting.append((node, event.request, reply))
    }
  }

  private func checkReply(_ node: Node, _ event: LoggedEvent) {
    guard let content = Content(event.bytes), content.kind == .reply else {
      return check(node, "a reply that nobody gave")
    }
    let isItsOwn = content.sequence == UInt32(truncatingIfNeeded: event.getContext)
    check(node, isItsOwn ? nil : "the reply to another request")
  }

  private func check(_ node: Node, _ error: String?) {
    guard let error, !network.isTampered else { return }
    simulation.violation("\(node.name): \(error)")
  }

  // MARK: What happens to the hosts

  private func pauseOrResume(_ input: inout FuzzInput) {
    let node = simulation.nodes[Int(input.byte() & 1)]
    if node.isPaused { node.resume() } else if node.isAlive { node.pause() }
  }

  private func killOrRestart(_ input: inout FuzzInput) {
    let node = simulation.nodes[Int(input.byte() & 1)]
    guard !node.isPaused, input.byte() < 128 else { return }
    wasKilled = true
    if node.isAlive {
      if input.flag() { node.powerOff() } else { node.kill() }
    } else {
      node.restart()
      listen(node)
    }
  }

  private func changeLinks(_ input: inout FuzzInput) {
    let (choice, latency) = (input.byte(), input.byte())
    if choice & 8 != 0, transports.contains(.tcp) { hasSlowStreams = true }
    simulation.changeAll { conditions in
      conditions.isUp = choice & 7 != 7
      conditions.loss = choice & 8 == 0 ? 0 : 200
      conditions.duplication = choice & 16 == 0 ? 0 : 200
      conditions.reordering = choice & 32 == 0 ? 0 : 200
      conditions.latency = .milliseconds(UInt64(latency % 128))
      conditions.jitter = conditions.latency
      conditions.bandwidth = choice & 64 == 0 ? 0 : 2_000_000
    }
  }

  // MARK: The end

  /// Heals the network, lets what is on its way arrive, and ends everything.
  private func finish() {
    network.verdicts = []
    reactions = []
    simulation.changeAll { $0 = LinkConditions() }
    for node in simulation.nodes { node.resume() }
    simulation.run(for: .seconds(options.lost.nanoseconds > 2_000_000_000 ? 70 : 10))
    if !network.isTampered, !wasKilled, !hasSlowStreams { checkDelivered() }
    for node in simulation.nodes { node.onEvent = nil }
    finishAll(simulation)
  }

  /// On a good network nothing waits, and as many have reached the other program as were told to have.
  private func checkDelivered() {
    for node in simulation.nodes {
      for handle in node.guarantees.openConnections {
        let told = node.log.events(of: handle).count {
          $0.kind == .delivered && !toMany.contains($0.getContext)
        }
        let came = flows[handle.rawValue].received
        if came != told {
          simulation.violation("\(node.name): \(told) were told as delivered, \(came) came")
        }
      }
      if node.guarantees.outcomesMissing > 0 {
        simulation.violation("\(node.name): messages that wait although nothing hinders them")
      }
    }
  }
}

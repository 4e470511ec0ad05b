import MsgBox

/// A random network with random programs on it, run to its end; all of it follows from the seed.
struct RandomSchedule {
  private let simulation: Simulation
  private let transport: Transport?
  private var random: SeededRandom
  private var listeners: [(node: Node, transport: Transport, address: Address)] = []
  private let programs: Programs
  /// Whether `record` is wanted.
  var isRecording = false
  /// Every event of every node, one line each.
  private(set) var record: [String] = []

  /// What the programs of the nodes remember.
  final class Programs {
    var waiting: [(node: Node, request: Handle)] = []
    var contexts: UInt = 1
    /// Gets that may still be cancelled.
    var gets: [(node: Node, get: Handle)] = []
    /// What was sent reliably; nil if the programs send plainly alone.
    let flows: Flows?

    init(flows: Flows?) {
      self.flows = flows
    }
  }

  /// `transport` nil is both. With `mixesSends` the programs send in every way and any size, and
  /// what arrives is checked.
  init(seed: UInt64, transport: Transport?, mixesSends: Bool = false) {
    programs = Programs(flows: mixesSends ? Flows() : nil)
    simulation = Simulation(seed: seed)
    self.transport = transport
    random = SeededRandom(seed: seed ^ 0x5851_f42d_4c95_7f2d)
  }

  /// Runs the schedule; gives what broke.
  mutating func run() -> [String] {
    prepare()
    for _ in 0..<random.within(8...28) {
      step()
      simulation.run(for: .milliseconds(UInt64(random.below(random.chance(100) ? 3000 : 120))))
    }
    finish()
    if isRecording { keepRecord() }
    let violations = simulation.violations
    simulation.tearDown()
    return violations
  }

  private mutating func keepRecord() {
    for node in simulation.nodes {
      for event in node.log.events {
        record.append(
          "\(node.name) \(event.time.nanoseconds) \(event.kind) \(event.status) "
            + "\(event.handle.rawValue) \(event.request.rawValue) \(event.bytes)")
      }
    }
  }

  // MARK: The network

  private mutating func prepare() {
    changeLinks()
    if random.chance(300) { simulation.oversleep = .milliseconds(2) }
    simulation.bounces = random.chance(500)
    for number in 1...random.within(2...4) {
      let node = simulation.addNode("node \(number)")
      let seed = random.word()
      node.streamPiece = random.chance(300) ? random.within(1...40) : nil
      if programs.flows != nil, random.chance(300) {
        node.receiveBufferBytes = random.within(1200...60_000)
      }
      let programs = programs
      var dice = SeededRandom(seed: seed)
      node.onEvent = { node, event in Self.react(node, event, &dice, programs) }
    }
    listen()
  }

  private mutating func changeLinks() {
    let loss = random.element(of: [0, 0, 10, 100, 300]) ?? 0
    let disorder = random.element(of: [0, 0, 20, 200]) ?? 0
    let latency = UInt64(random.within(0...60))
    let bandwidth = programs.flows == nil ? 0 : random.element(of: [0, 0, 1, 10]) ?? 0
    simulation.changeAll { conditions in
      conditions.bandwidth = UInt64(bandwidth) * 1_000_000
      conditions.latency = .milliseconds(latency)
      conditions.jitter = .milliseconds(latency / 2)
      conditions.loss = loss
      conditions.duplication = disorder
      conditions.reordering = disorder
    }
  }

  private mutating func options() -> ConnectionOptions {
    var options = random.chance(700) ? quickOptions() : ConnectionOptions()
    if random.chance(200) { options.sendMarkMessages = UInt32(random.within(1...4)) }
    if random.chance(100) { options.maxConnections = 1 }
    if random.chance(100) { options.implicitPeers = true }
    if random.chance(150) { options.reconnectWait = .milliseconds(300) }
    return options
  }

  private mutating func anyTransport() -> Transport {
    transport ?? (random.chance(500) ? .udp : .tcp)
  }

  private mutating func node() -> Node? {
    random.element(of: simulation.nodes.filter { $0.isAlive && !$0.isPaused })
  }

  // MARK: What happens

  private mutating func step() {
    switch random.below(100) {
    case 0..<8: listen()
    case 8..<33: connect()
    case 33..<55: talk()
    case 55..<63: answerLate()
    case 63..<71: disconnect()
    case 71..<74: unlisten()
    case 74..<79: kill()
    case 79..<84: restart()
    case 84..<88: pause()
    case 88..<92: resume()
    case 92..<95: partition()
    case 95..<97: simulation.changeAll { $0.isUp = true }
    default: changeLinks()
    }
  }

  private mutating func listen() {
    guard let node = node() else { return }
    let transport = anyTransport()
    let port = UInt16(random.chance(100) ? 7000 : 7000 + random.below(4))
    programs.contexts += 1
    _ = node.listen(transport, port: port, options: options(), context: programs.contexts)
    listeners.append((node, transport, Address(ip: node.ip, port: port)))
  }

  private mutating func connect() {
    guard let node = node(), let target = random.element(of: listeners) else { return }
    programs.contexts += 1
    let isWrong = random.chance(50)
    let address = Address(ip: target.address.ip, port: isWrong ? 9 : target.address.port)
    let handle = node.connect(
      target.transport, to: address, options: options(), context: programs.contexts)
    if random.chance(300) { Self.talk(node, handle, &random, programs) }
  }

  private mutating func talk() {
    guard let node = node(),
      let handle = random.element(of: node.guarantees.handlesAlive)
    else { return }
    Self.talk(node, handle, &random, programs)
  }

  private mutating func answerLate() {
    guard let index = programs.waiting.indices.randomElement(using: &random) else { return }
    let (node, request) = programs.waiting.remove(at: index)
    guard node.isAlive, !node.isPaused else { return }
    _ = node.answer("late", to: request)
  }

  private mutating func disconnect() {
    guard let node = node(),
      let handle = random.element(of: node.guarantees.handlesAlive),
      !node.guarantees.isListener(handle)
    else { return }
    _ = node.disconnect(handle)
  }

  private mutating func unlisten() {
    guard let node = node(),
      let handle = node.guarantees.handlesAlive.first(where: node.guarantees.isListener)
    else { return }
    _ = node.unlisten(handle)
  }

  private mutating func kill() {
    guard let node = node() else { return }
    if random.chance(300) { node.powerOff() } else { node.kill() }
  }

  private mutating func restart() {
    guard let node = random.element(of: simulation.nodes), !node.isPaused else { return }
    if node.isAlive, random.chance(500) { node.shutDown() }
    simulation.run(for: .milliseconds(1))
    node.restart()
    listeners.removeAll { $0.node === node && random.chance(300) }
    for target in listeners where target.node === node {
      _ = node.listen(target.transport, port: target.address.port, options: options())
    }
  }

  private mutating func pause() {
    node()?.pause()
  }

  private mutating func resume() {
    random.element(of: simulation.nodes.filter(\.isPaused))?.resume()
  }

  private mutating func partition() {
    guard let left = random.element(of: simulation.nodes),
      let right = random.element(of: simulation.nodes)
    else { return }
    simulation.change(left, right) { $0.isUp = false }
  }

  // MARK: The programs

  private static func talk(
    _ node: Node, _ handle: Handle, _ random: inout SeededRandom, _ programs: Programs
  ) {
    if programs.flows != nil { return talkInAnyWay(node, handle, &random, programs) }
    for _ in 0..<random.within(1...3) {
      let bytes = random.bytes(random.chance(100) ? random.below(1300) : random.below(40))
      if random.chance(500) {
        _ = node.send(bytes, to: handle)
      } else {
        programs.contexts += 1
        let timeout =
          random.chance(200) ? Interval.milliseconds(UInt64(random.below(900) + 1)) : nil
        _ = node.get(bytes, from: handle, context: programs.contexts, timeout: timeout)
      }
    }
  }

  private static func react(
    _ node: Node, _ event: LoggedEvent, _ random: inout SeededRandom, _ programs: Programs
  ) {
    if event.kind == .message, let error = programs.flows?.receive(event.bytes) {
      node.simulation.violation("\(node.name): \(error)")
    }
    if event.kind == .request {
      if programs.flows != nil, random.chance(200) {
        _ = node.answer(random.bytes(random.below(30_000)), to: event.request)
      } else if random.chance(600) {
        _ = node.answer(event.bytes, to: event.request)
      } else if random.chance(500) {
        programs.waiting.append((node, event.request))
      }
    }
    if random.chance(80) { talk(node, event.handle, &random, programs) }
    if programs.flows != nil, random.chance(15) { _ = node.abort(event.handle) }
    if random.chance(25) { _ = node.disconnect(event.handle) }
    if random.chance(10) {
      _ = node.unlisten(event.listener == .none ? event.handle : event.listener)
    }
  }

  // MARK: The end

  /// Heals the network and ends everything; sometimes the programs are told nothing for a while
  /// before.
  private mutating func finish() {
    simulation.changeAll {
      $0.isUp = true
      $0.loss = min($0.loss, 100)
    }
    for node in simulation.nodes {
      node.onEvent = nil
      node.resume()
    }
    if random.chance(200) { simulation.run(for: .seconds(3)) }
    finishAll(simulation)
  }
}

extension SeededRandom: RandomNumberGenerator {
  mutating func next() -> UInt64 { word() }
}

import MsgBox

/// Whole networks of cores in virtual time, the same for the same seed.
final class Simulation {
  let seed: UInt64
  var random: SeededRandom
  private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
  private(set) var nodes: [Node] = []
  /// What each new direction between two hosts starts with.
  var conditions = LinkConditions()
  /// The table that host names are resolved by; a name that is not in it cannot be resolved.
  var names: [String: [IPAddress]] = [:]
  var resolveTime = Interval.milliseconds(20)
  /// Whether a host answers a datagram to a closed port (ICMP port unreachable).
  var bounces = true
  /// Nodes are woken up to so much after their deadline, as by a real clock.
  var oversleep = Interval(nanoseconds: 0)
  /// Sees each datagram before its link does; false drops it.
  var onDatagram: ((Datagram) -> Bool)?
  private(set) var violations: [String] = []
  /// Datagrams that were given to a link, and those that it lost.
  private(set) var datagramsSent = 0
  private(set) var datagramsLost = 0

  private var queue = WorkQueue()
  private var hosts: [IPAddress: Node] = [:]
  private var strangers: [Address: Stranger] = [:]
  private var links: [LinkKey: Link] = [:]
  private var streams: [StreamSide] = []

  private struct LinkKey: Hashable {
    var from: IPAddress
    var to: IPAddress
  }

  init(seed: UInt64 = 1) {
    self.seed = seed
    random = SeededRandom(seed: seed)
  }

  /// Breaks the reference cycles between nodes, sockets and waiting work.
  func tearDown() {
    queue.removeAll()
    for node in nodes { node.tearDown() }
    for stream in streams { stream.tearDown() }
    streams = []
    nodes = []
    hosts = [:]
    strangers = [:]
    onDatagram = nil
  }

  // MARK: What there is

  /// Sides of a stream know each other, also when nobody knows them any more.
  func adopt(_ stream: StreamSide) { streams.append(stream) }

  /// A node at 10.0.x.y with a freshly seeded endpoint.
  func addNode(_ name: String, configuration: EndpointConfiguration = .init()) -> Node {
    let number = UInt32(nodes.count + 1)
    let ip = IPAddress(v4: 0x0a00_0000 + number)
    var configuration = configuration
    if configuration.box == 1 { configuration.box = number }
    let node = Node(self, name: name, ip: ip, configuration: configuration)
    nodes.append(node)
    hosts[ip] = node
    return node
  }

  /// Gives a node one more address.
  func addAddress(_ ip: IPAddress, of node: Node) {
    node.addresses.append(ip)
    hosts[ip] = node
  }

  func node(at ip: IPAddress) -> Node? { hosts[ip] }

  /// Somebody who speaks raw datagrams.
  func addStranger(at address: Address) -> Stranger {
    let stranger = Stranger(self, address)
    strangers[address] = stranger
    return stranger
  }

  func link(from: IPAddress, to: IPAddress) -> Link {
    let key = LinkKey(from: from, to: to)
    if let link = links[key] { return link }
    let link = Link(conditions)
    links[key] = link
    return link
  }

  /// Changes both directions between two nodes, and those of all their addresses.
  func change(_ left: Node, _ right: Node, _ body: (inout LinkConditions) -> Void) {
    for from in left.addresses {
      for to in right.addresses {
        body(&link(from: from, to: to).conditions)
        body(&link(from: to, to: from).conditions)
      }
    }
  }

  /// Sends what goes from any of `sources` to any of `destinations` through one pipe.
  func share(_ bottleneck: Bottleneck, from sources: [Node], to destinations: [Node]) {
    for from in sources.flatMap(\.addresses) {
      for to in destinations.flatMap(\.addresses) {
        link(from: from, to: to).bottleneck = bottleneck
      }
    }
  }

  /// Changes every direction, those to come included.
  func changeAll(_ body: (inout LinkConditions) -> Void) {
    body(&conditions)
    for link in links.values { body(&link.conditions) }
  }

  // MARK: Time

  func schedule(after interval: Interval, _ body: @escaping () -> Void) {
    queue.add(.call(body), at: now + interval)
  }

  func scheduleWake(of node: Node, at time: Instant) {
    let late = UInt64(random.below(Int(oversleep.nanoseconds)))
    queue.add(.wake(node), at: max(time, now) + Interval(nanoseconds: late))
  }

  /// Lets `interval` go by.
  func run(for interval: Interval) {
    let end = now + interval
    while let next = queue.next, next <= end { step() }
    now = end
  }

  /// Lets time go by until `condition` holds, at most `limit`; says whether it holds.
  @discardableResult
  func run(within limit: Interval, until condition: () -> Bool) -> Bool {
    let end = now + limit
    if condition() { return true }
    while let next = queue.next, next <= end {
      step()
      if condition() { return true }
    }
    now = end
    return condition()
  }

  private func step() {
    guard let item = queue.removeFirst() else { return }
    now = max(now, Instant(nanoseconds: item.time))
    switch item.work {
    case .datagram(let datagram): arrive(datagram)
    case .wake(let node): node.wake()
    case .call(let body): body()
    }
  }

  // MARK: Datagrams

  func transmit(_ datagram: Datagram) {
    if let onDatagram, !onDatagram(datagram) { return }
    let link = link(from: datagram.from.ip, to: datagram.to.ip)
    let arrivals = link.arrivals(count: datagram.bytes.count, at: now, random: &random)
    datagramsSent += 1
    if arrivals.isEmpty { datagramsLost += 1 }
    for arrival in arrivals { queue.add(.datagram(datagram), at: arrival) }
  }

  private func arrive(_ datagram: Datagram) {
    if let stranger = strangers[datagram.to] {
      stranger.receive(datagram)
    } else if let node = hosts[datagram.to.ip], node.hasPower {
      if !node.receive(datagram), bounces { bounce(datagram) }
    }
  }

  private func bounce(_ datagram: Datagram) {
    let link = link(from: datagram.to.ip, to: datagram.from.ip)
    guard link.conditions.isUp, !random.chance(link.conditions.loss) else { return }
    schedule(after: link.delay(random: &random)) { [unowned self] in
      hosts[datagram.from.ip]?.receiveBounce(of: datagram)
    }
  }

  // MARK: Failures

  /// A broken guarantee: the test fails, and says how to replay.
  func violation(_ text: String) {
    violations.append(text)
    guard violations.count <= 5 else { return }
    report("\(text) (at \(milliseconds(now)) ms; replay with MSGBOX_SEED=\(seed))")
  }

  /// Milliseconds from the start of the simulation to `time`.
  func milliseconds(_ time: Instant) -> UInt64 {
    time.since(Instant(nanoseconds: 1_000_000_000_000)).nanoseconds / 1_000_000
  }
}

/// Somebody on the network who is no endpoint: sends any bytes from any address, and keeps what
/// comes.
final class Stranger {
  let address: Address
  private(set) var received: [Datagram] = []
  /// Called with each datagram that comes.
  var onReceive: ((Datagram) -> Void)?
  private let simulation: Simulation

  init(_ simulation: Simulation, _ address: Address) {
    self.simulation = simulation
    self.address = address
  }

  func send(_ bytes: [UInt8], to: Address) {
    simulation.transmit(Datagram(from: address, to: to, bytes: bytes))
  }

  func receive(_ datagram: Datagram) {
    received.append(datagram)
    onReceive?(datagram)
  }

  func forget() {
    received = []
  }
}

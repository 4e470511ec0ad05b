import MsgBox

/// A socket of a node, as the kernel would keep it.
final class SimulatedSocket {
  enum Kind {
    /// Connected if `remote` is known.
    case datagram
    case listener
    case stream(StreamSide)
  }

  let id: SocketID
  var kind: Kind
  var local: Address
  var remote: Address?
  /// Bytes of datagrams that the program has not received yet.
  var waitingBytes = 0

  init(id: SocketID, kind: Kind, local: Address, remote: Address? = nil) {
    self.id = id
    self.kind = kind
    self.local = local
    self.remote = remote
  }

  var stream: StreamSide? {
    if case .stream(let side) = kind { side } else { nil }
  }
}

/// One side of a TCP connection: what it has sent and its peer's program has not read, in order.
final class StreamSide {
  private enum Segment {
    case bytes([UInt8])
    case fin

    var count: Int {
      if case .bytes(let bytes) = self { bytes.count } else { 0 }
    }
  }

  /// Bytes that fit between a `write` here and the `read` of the peer.
  static let capacity = 65_536

  let node: Node
  let local: Address
  let remote: Address
  var peer: StreamSide?
  /// Nil once the program has closed it.
  private(set) var socket: SimulatedSocket?
  private(set) var hasFailed = false
  /// Get what comes instead of an endpoint.
  var onBytes: (([UInt8]) -> Void)?
  var onEnd: ((StreamEnd) -> Void)?

  private var segments: [Segment] = []
  /// Arrivals that a link that is down delays.
  private var delayed = 0
  private var inFlight = 0
  private var lastArrival = Instant(nanoseconds: 0)
  private var isFull = false
  private var hasShutDown = false
  private var unread = 0
  private var isPaused = false
  /// What came while it was not read, in order.
  private var kept: [Segment] = []
  private var keptEnd: StreamEnd?

  init(_ node: Node, local: Address, remote: Address) {
    self.node = node
    self.local = local
    self.remote = remote
    node.simulation.adopt(self)
  }

  /// Forgets its socket, its peer and whoever hears of it.
  func tearDown() {
    socket = nil
    peer = nil
    onBytes = nil
    onEnd = nil
  }

  private var simulation: Simulation { node.simulation }
  private var link: Link { simulation.link(from: local.ip, to: remote.ip) }
  private var isOpen: Bool { socket != nil }

  func attach(_ socket: SimulatedSocket) {
    self.socket = socket
  }

  // MARK: The program's side

  /// Takes what there is room for. Nil if the stream is gone.
  func write(_ bytes: [UInt8]) -> Int? {
    guard isOpen, !hasFailed, !hasShutDown else { return nil }
    let count = min(bytes.count, Self.capacity - inFlight)
    var rest = bytes[..<count]
    while !rest.isEmpty {
      let piece = rest.prefix(pieceSize())
      rest = rest.dropFirst(piece.count)
      append(.bytes(Array(piece)))
    }
    inFlight += count
    isFull = count < bytes.count
    return count
  }

  func pauseReading() {
    isPaused = true
  }

  func resumeReading() {
    isPaused = false
    simulation.schedule(after: Interval(nanoseconds: 0)) { [self] in readKept() }
  }

  private func readKept() {
    while !isPaused, !kept.isEmpty {
      guard case .bytes(let bytes) = kept.removeFirst(), let peer else { continue }
      hand(bytes, from: peer)
    }
    if !isPaused, let end = keptEnd {
      keptEnd = nil
      handEnd(end)
    }
  }

  func shutDownWrite() {
    guard !hasShutDown else { return }
    hasShutDown = true
    append(.fin)
  }

  /// Closing with bytes unread makes the kernel send RST, which destroys what was sent before.
  func close() {
    guard isOpen else { return }
    socket = nil
    if unread > 0 { sendReset() } else { shutDownWrite() }
  }

  func reset() {
    guard isOpen else { return }
    socket = nil
    sendReset()
  }

  /// The machine lost its power: nothing more comes from here, not even a RST.
  func vanish() {
    socket = nil
    segments = []
    hasFailed = true
  }

  private func pieceSize() -> Int {
    node.streamPiece ?? simulation.random.within(1...1400)
  }

  // MARK: The network

  private func append(_ segment: Segment) {
    segments.append(segment)
    let departure = link.streamDeparture(of: segment.count, at: simulation.now)
    lastArrival = max(lastArrival, departure + link.delay(random: &simulation.random))
    if simulation.random.chance(link.conditions.loss) {
      lastArrival = lastArrival + .milliseconds(200)
    }
    scheduleArrival(after: lastArrival.since(simulation.now))
  }

  private func scheduleArrival(after interval: Interval) {
    simulation.schedule(after: interval) { [self] in arrive() }
  }

  /// Hands the oldest segment to the peer; a link that is down delays it.
  private func arrive() {
    guard let segment = segments.first, let peer else { return }
    guard link.conditions.isUp, peer.node.hasPower else {
      delayed += 1
      if delayed == 1 { retry(tries: 0) }
      return
    }
    segments.removeFirst()
    guard peer.isOpen else { return peer.refuse(segment) }
    switch segment {
    case .bytes(let bytes): peer.take(bytes, from: self)
    case .fin: peer.takeEnd(.finished)
    }
  }

  /// Lets what was delayed arrive once the link is up.
  private func retry(tries: Int) {
    guard tries < 2000 else { return }
    simulation.schedule(after: .milliseconds(200)) { [self] in
      guard let peer, link.conditions.isUp, peer.node.hasPower else {
        return retry(tries: tries + 1)
      }
      let arrivals = delayed
      delayed = 0
      for _ in 0..<arrivals { arrive() }
    }
  }

  /// Data for a program that is gone is answered with RST.
  private func refuse(_ segment: Segment) {
    if case .bytes = segment { sendReset() }
  }

  private func take(_ bytes: [UInt8], from sender: StreamSide) {
    if let onBytes {
      sender.wasRead(bytes.count)
      return onBytes(bytes)
    }
    unread += bytes.count
    if isPaused || !kept.isEmpty { return kept.append(.bytes(bytes)) }
    hand(bytes, from: sender)
  }

  private func hand(_ bytes: [UInt8], from sender: StreamSide) {
    node.enter { [self] in
      unread -= bytes.count
      sender.wasRead(bytes.count)
      guard let socket else { return }
      node.receiveStream(bytes, on: socket.id)
    }
  }

  private func takeEnd(_ end: StreamEnd) {
    if let onEnd { return onEnd(end) }
    if isPaused || !kept.isEmpty {
      keptEnd = keptEnd ?? end
      return
    }
    handEnd(end)
  }

  private func handEnd(_ end: StreamEnd) {
    node.enter { [self] in
      guard let socket else { return }
      node.endStream(end, on: socket.id)
    }
  }

  private func wasRead(_ count: Int) {
    inFlight -= count
    guard isFull, inFlight <= Self.capacity / 2 else { return }
    isFull = false
    simulation.schedule(after: link.conditions.latency) { [self] in
      guard socket != nil else { return }
      node.enter { [self] in
        if let socket { node.unblock(socket.id) }
      }
    }
  }

  private func sendReset(tries: Int = 0) {
    segments = []
    simulation.schedule(after: link.delay(random: &simulation.random)) { [self] in
      guard let peer, !peer.hasFailed else { return }
      if link.conditions.isUp || tries > 0 {
        if link.conditions.isUp { peer.wasReset() }
      } else {
        sendReset(tries: tries + 1)
      }
    }
  }

  private func wasReset() {
    hasFailed = true
    segments = []
    takeEnd(.reset(systemError: 104))
  }
}

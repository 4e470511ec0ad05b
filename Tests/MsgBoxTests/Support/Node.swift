import MsgBox

/// A program on a host of its own: one endpoint, and what the loop does for it.
final class Node {
  let simulation: Simulation
  let name: String
  /// The first is what it connects from.
  var addresses: [IPAddress]
  var endpoint: Endpoint
  var log = EventLog()
  var guarantees: Guarantees
  /// The program: called with each event, from inside the loop.
  var onEvent: ((Node, LoggedEvent) -> Void)?

  /// Whether the program runs.
  private(set) var isAlive = true
  /// Whether its machine runs: one without power neither bounces datagrams nor resets streams.
  private(set) var hasPower = true
  private(set) var isPaused = false
  /// Stream bytes are cut into pieces of this size; nil is a random size for each.
  var streamPiece: Int?
  /// Events of a stream that wait at most before more of its bytes are taken.
  var eventsAtOnce = 3
  /// What the next opening or binding of a socket fails with.
  var openFailure: (status: Status, systemError: Int32)?
  var bindFailure: (status: Status, systemError: Int32)?
  /// Datagrams and inputs that a turn takes before it looks at its timers; the rest waits in the
  /// kernel.
  var inputsPerTurn = Int.max
  /// Bytes of datagrams that the kernel keeps for each socket while the program does not receive;
  /// more are lost.
  var receiveBufferBytes = Int.max
  /// Datagrams that found that buffer full.
  private(set) var receiveBufferDrops = 0
  private(set) var actions: [Action] = []

  var sockets: [SimulatedSocket?] = []
  var nextPort: UInt16 = 40_000
  private var input: [UInt8] = []
  private var inbox: [() -> Void] = []
  private var drainedAt: Instant
  private var scheduledWake: Instant?
  private var hasTurnScheduled = false
  private var isInTurn = false
  private var configuration: EndpointConfiguration
  private var transmitBuffer = [UInt8](repeating: 0, count: 1200)

  init(
    _ simulation: Simulation, name: String, ip: IPAddress, configuration: EndpointConfiguration
  ) {
    self.simulation = simulation
    self.name = name
    self.configuration = configuration
    addresses = [ip]
    endpoint = Endpoint(
      configuration: configuration, random: RandomSource(seed: simulation.random.word()),
      now: simulation.now)
    guarantees = Guarantees(name) { [unowned simulation] in simulation.violation($0) }
    drainedAt = simulation.now
  }

  func tearDown() {
    onEvent = nil
    inbox = []
    sockets = []
  }

  var now: Instant { simulation.now }
  var ip: IPAddress { addresses[0] }

  // MARK: Life

  /// Ends the program as SIGKILL does: its sockets are closed by the kernel.
  func kill() {
    isAlive = false
    isPaused = false
    inbox = []
    for socket in sockets { socket?.stream?.close() }
    sockets = []
  }

  /// Cuts the power: nothing more comes from here.
  func powerOff() {
    for socket in sockets { socket?.stream?.vanish() }
    kill()
    hasPower = false
  }

  /// Starts the program again, with nothing but its address; `restart` after `kill` or `powerOff`.
  func restart() {
    if isAlive { kill() }
    configuration.box += 100
    endpoint = Endpoint(
      configuration: configuration, random: RandomSource(seed: simulation.random.word()), now: now)
    guarantees = Guarantees(name) { [unowned simulation] in simulation.violation($0) }
    log = EventLog()
    isAlive = true
    hasPower = true
    drainedAt = now
    scheduledWake = nil
  }

  /// The loop is not entered until `resume`; what comes meanwhile waits in the kernel.
  func pause() {
    isPaused = true
  }

  func resume() {
    guard isPaused else { return }
    isPaused = false
    wake()
  }

  // MARK: Turns

  /// Runs an input through the endpoint, now or when the node is entered again.
  func enter(_ body: @escaping () -> Void) {
    guard isAlive else { return }
    guard !isPaused, inbox.isEmpty else { return inbox.append(body) }
    body()
    drainedAt = now
    settle()
  }

  /// The deadline has come, or calls wait to be carried out.
  func wake() {
    if let wake = scheduledWake, wake <= now { scheduledWake = nil }
    guard isAlive, !isPaused else { return }
    // As a loop does it: first what was called for, then what has come.
    drain()
    var taken = 0
    while taken < inputsPerTurn, !inbox.isEmpty {
      inbox.removeFirst()()
      drain()
      taken += 1
    }
    if inbox.isEmpty { drainedAt = now }
    settle()
    if !inbox.isEmpty {
      simulation.schedule(after: .milliseconds(1)) { [self] in wake() }
    }
  }

  /// Has the calls that were made from outside of a turn carried out by a turn, still at this time.
  func scheduleTurn() {
    guard !isInTurn, !hasTurnScheduled else { return }
    hasTurnScheduled = true
    simulation.schedule(after: Interval(nanoseconds: 0)) { [self] in
      hasTurnScheduled = false
      wake()
    }
  }

  /// Takes everything out of the endpoint, runs what is due, and asks to be woken for the rest.
  private func settle() {
    drain()
    var rounds = 0
    while let deadline = endpoint.nextDeadline, deadline <= now {
      rounds += 1
      guard rounds <= 4 else {
        return simulation.violation("\(name): the deadline stays in the past after a drain")
      }
      endpoint.handleTimeout(at: now, drainedAt: drainedAt)
      drain()
    }
    checkRotations()
    guard let deadline = endpoint.nextDeadline else { return }
    if let wake = scheduledWake, wake > now, wake <= deadline { return }
    scheduledWake = deadline
    simulation.scheduleWake(of: self, at: deadline)
  }

  /// The invariant of the notes' structures: |out_beats| = |conn_status| + |pending_closes|.
  private func checkRotations() {
    let census = endpoint.rotationCensus
    if census.outBeats != census.connStatus + census.pendingCloses {
      simulation.violation("\(name): a rotation does not add up: \(census)")
    }
  }

  private func drain() {
    isInTurn = true
    defer { isInTurn = false }
    var rounds = 0
    var isBusy = true
    while isBusy {
      isBusy = drainEvents()
      if performActions() { isBusy = true }
      if drainTransmits() { isBusy = true }
      if drainStreams() { isBusy = true }
      rounds += 1
      guard rounds < 10_000 else { return simulation.violation("\(name): a turn without end") }
    }
  }

  private func drainEvents() -> Bool {
    var any = false
    while let event = endpoint.pollEvent() {
      any = true
      guarantees.pollReturned(endpoint)
      let logged = LoggedEvent(event, bytes: bytes(of: event.payload), at: now)
      log.append(logged)
      guarantees.check(logged, endpoint)
      onEvent?(self, logged)
    }
    guarantees.pollReturned(endpoint)
    input = []
    return any
  }

  private func bytes(of payload: Payload) -> [UInt8] {
    switch payload.place {
    case .none: return []
    case .owned: return endpoint.takePolledBytes()
    case .input:
      guard payload.range.upperBound <= input.count else {
        simulation.violation("\(name): a payload outside of the input")
        return []
      }
      return Array(input[payload.range])
    }
  }

  private func performActions() -> Bool {
    var any = false
    while let action = endpoint.pollAction() {
      any = true
      if !log.isCountingOnly { actions.append(action) }
      perform(action)
      if drainEvents() { any = true }
    }
    return any
  }

  private func drainTransmits() -> Bool {
    var any = false
    endpoint.beginTurn(at: now)
    while let transmit = nextTransmit() {
      any = true
      guard let socket = socket(transmit.socket) else {
        simulation.violation("\(name): a datagram for a socket that is closed")
        continue
      }
      if transmit.count > 1200 || transmit.count < 1 {
        simulation.violation("\(name): a datagram of \(transmit.count) bytes")
      }
      let ip = transmit.local.ip == .unspecified ? socket.local.ip : transmit.local.ip
      let from = Address(ip: ip == .unspecified ? self.ip : ip, port: socket.local.port)
      simulation.transmit(
        Datagram(
          from: from, to: socket.remote ?? transmit.remote,
          bytes: Array(transmitBuffer[..<transmit.count])))
    }
    return any
  }

  private func nextTransmit() -> Transmit? {
    var span = transmitBuffer.mutableSpan
    return endpoint.pollTransmit(into: &span, at: now)
  }

  /// The bytes of the next datagram of the endpoint, for tests that drive it themselves.
  func takeDatagram() -> [UInt8]? {
    endpoint.beginTurn(at: now)
    return nextTransmit().map { Array(transmitBuffer[..<$0.count]) }
  }

  private func drainStreams() -> Bool {
    var any = false
    while let id = endpoint.pollStream(at: now) {
      any = true
      guard let side = socket(id)?.stream else {
        simulation.violation("\(name): bytes for a stream that is closed")
        continue
      }
      write(to: side, id)
    }
    return any
  }

  private func write(to side: StreamSide, _ id: SocketID) {
    var result: Int? = 0
    var offered = 0
    endpoint.writePieces(id, at: now) { queue in
      var copy: [UInt8] = []
      for index in 0..<queue.pieceCount where copy.count < StreamQueue.writeLimit {
        copy.append(bytes: queue.piece(index))
      }
      offered += copy.count
      result = side.write(copy)
      return result ?? 0
    }
    guard let taken = result else {
      return endpoint.sendFailed(id, systemError: 32, at: now)
    }
    if taken < offered { endpoint.setBlocked(id, true) }
  }

  // MARK: Inputs

  /// Whether there was a socket for it.
  func receive(_ datagram: Datagram) -> Bool {
    guard isAlive, let socket = datagramSocket(for: datagram) else { return false }
    guard datagram.bytes.count <= receiveBufferBytes - socket.waitingBytes else {
      receiveBufferDrops += 1
      return true
    }
    socket.waitingBytes += datagram.bytes.count
    enter { [self] in
      socket.waitingBytes -= datagram.bytes.count
      guard sockets.indices.contains(Int(socket.id.rawValue)),
        sockets[Int(socket.id.rawValue)] === socket
      else { return }
      input = datagram.bytes
      endpoint.receive(
        datagram.bytes.span, on: socket.id, from: datagram.from, to: datagram.to, at: now)
    }
    return true
  }

  func receiveBounce(of datagram: Datagram) {
    guard
      let socket = datagramSocket(for: Datagram(from: datagram.to, to: datagram.from, bytes: []))
    else { return }
    guard socket.remote != nil else { return }
    enter { [self] in
      guard self.socket(socket.id) === socket else { return }
      endpoint.bounced(socket.id, .refused, systemError: 111, at: now)
    }
  }

  func receiveStream(_ bytes: [UInt8], on socket: SocketID) {
    var bytes = bytes
    while endpoint.missingBytes(of: socket) > 0, !bytes.isEmpty {
      unsafe endpoint.readStream(socket, at: now) { room in
        let count = min(room.count, bytes.count)
        for index in 0..<count { unsafe room[index] = bytes[index] }
        bytes.removeFirst(count)
        return count
      }
      if drainEvents() { continue }
    }
    while !bytes.isEmpty {
      input = bytes
      let taken = endpoint.receiveStream(bytes.span, on: socket, at: now, events: eventsAtOnce)
      if taken < bytes.count { _ = drainEvents() }
      bytes.removeFirst(taken)
    }
  }

  func endStream(_ end: StreamEnd, on socket: SocketID) {
    endpoint.streamEnded(socket, end, at: now)
  }

  func unblock(_ socket: SocketID) {
    endpoint.setBlocked(socket, false)
  }

  // MARK: Sockets

  func socket(_ id: SocketID) -> SimulatedSocket? {
    let index = Int(id.rawValue)
    return sockets.indices.contains(index) ? sockets[index] : nil
  }

  private func datagramSocket(for datagram: Datagram) -> SimulatedSocket? {
    for case let socket? in sockets {
      guard case .datagram = socket.kind, socket.local.port == datagram.to.port,
        socket.local.ip == datagram.to.ip || socket.local.ip == .unspecified
      else { continue }
      if let remote = socket.remote, remote != datagram.from { continue }
      return socket
    }
    return nil
  }

  func listeningSocket(at address: Address) -> SimulatedSocket? {
    for case let socket? in sockets {
      guard case .listener = socket.kind, socket.local.port == address.port,
        socket.local.ip == address.ip || socket.local.ip == .unspecified
      else { continue }
      return socket
    }
    return nil
  }

  /// Puts a socket into the first free place, so that numbers come again soon.
  func addSocket(
    _ kind: SimulatedSocket.Kind, local: Address, remote: Address? = nil
  ) -> SimulatedSocket {
    let index = sockets.firstIndex { $0 == nil } ?? sockets.count
    let socket = SimulatedSocket(
      id: SocketID(rawValue: UInt32(index)), kind: kind, local: local, remote: remote)
    if index == sockets.count { sockets.append(socket) } else { sockets[index] = socket }
    return socket
  }

  func removeSocket(_ id: SocketID) -> SimulatedSocket? {
    guard let socket = socket(id) else {
      simulation.violation("\(name): an action for a socket that is closed")
      return nil
    }
    sockets[Int(id.rawValue)] = nil
    return socket
  }

  var openSockets: Int { sockets.count { $0 != nil } }
}

import MsgBox

/// An endpoint and its surroundings, driven by the bytes of a run: datagrams and stream bytes of any kind, calls of the
/// program, time, full sockets and broken streams.
///
/// A trap is a finding, and so is a broken promise: an event that points outside of its input, a datagram above 1200
/// bytes, output without end, or anything left after the end.
final class FuzzBox {
  private enum Kind {
    case datagram
    case streamListener
    case stream
  }

  private var endpoint: Endpoint
  private var now = Instant(nanoseconds: 1_000_000_000)
  private var sockets: [(id: SocketID, kind: Kind)] = []
  private var nextSocket: UInt32 = 0
  /// Those whose end was not told.
  private var handles: [Handle] = []
  private var requests: [Handle] = []
  /// Session ids that were seen in output, so that input can name live ones.
  private var sessions: [UInt64] = [0]
  private let peer = Address(ip: IPAddress(v4: 0x7f00_0001), port: 90)
  private let local = Address(ip: IPAddress(v4: 0x7f00_0001), port: 1000)
  private let options: ConnectionOptions
  /// Sends that asked for their outcome, minus outcomes that were told.
  private var outcomesOwed = 0
  private var gets: [Handle] = []

  /// `mode` chooses among options that change what a connection does.
  init(mode: UInt8) {
    var configuration = EndpointConfiguration()
    configuration.maxPendingHellos = 4
    configuration.maxTombstones = 4
    configuration.maxOpenRequests = 8
    endpoint = Endpoint(configuration: configuration, random: RandomSource(seed: 1), now: now)
    var options = ConnectionOptions()
    options.implicitPeers = true
    options.maxConnections = 6
    options.sendMarkMessages = 5
    options.reconnectWait = .seconds(1)
    options.receiveMarkMessages = 3
    options.maxMessageBytes = mode & 4 == 0 ? 0 : 3000
    if mode & 1 == 1 { options.liveness = .onDemand }
    if mode & 2 == 2 { options.idleKeepalives = 2 }
    self.options = options
    for transport in [Transport.udp, .tcp] {
      let any = Locator(transport: transport, host: .any, port: 1)
      handles.append(endpoint.listen(any, options: options, userWords: UserWords(), at: now))
      settle([])
      connect(transport)
    }
    flush()
  }

  /// Takes the steps that the input says, then ends everything and holds that nothing is left.
  func run(_ input: inout FuzzInput) {
    var steps = 0
    while !input.isEmpty, steps < 400 {
      steps += 1
      step(&input)
    }
    finish()
  }

  private func step(_ input: inout FuzzInput) {
    switch input.byte() % 26 {
    case 0...5: receiveDatagram(&input)
    case 6...9: receiveStream(&input)
    case 10: send(&input)
    case 11: get(&input)
    case 12: answer(&input)
    case 13: if let handle = input.choice(of: handles) { _ = endpoint.disconnect(handle, at: now) }
    case 14:
      // Seldom: without a listener little happens.
      if input.byte() < 20, let handle = input.choice(of: handles) {
        _ = endpoint.unlisten(handle, at: now)
      }
    case 15:
      now = now + .milliseconds(UInt64(input.byte()) * 40)
      endpoint.handleTimeout(at: now, drainedAt: now)
    case 16: flush()
    case 17: breakSocket(&input)
    case 18: accept()
    case 20, 21: sendWith(&input)
    case 22: sendToMany(&input)
    case 23: end(&input)
    case 24: if let handle = input.choice(of: handles) { untake(handle, &input) }
    case 25:
      var limits = BoxLimits()
      limits.turnDatagrams = UInt32(input.byte()) + 1
      limits.receiveBytes = UInt64(input.byte()) * 64 + 1
      limits.sendMarkMessages = UInt32(input.byte()) + 1
      _ = endpoint.setLimits(limits)
    default: blockSocket(&input)
    }
    settle([])
  }

  // MARK: What comes from the network

  private func receiveDatagram(_ input: inout FuzzInput) {
    guard let socket = input.choice(of: sockets) else { return }
    var datagram = input.string()
    let mode = input.byte()
    if mode & 1 == 1, datagram.count >= 16 { giveHead(&datagram, &input) }
    var source = peer
    source.port += UInt16(mode >> 1) % 3
    endpoint.receive(datagram.span, on: socket.id, from: source, to: local, at: now)
    settle(datagram)
  }

  /// Makes random bytes a packet of a session that may be known.
  private func giveHead(_ datagram: inout [UInt8], _ input: inout FuzzInput) {
    let session = input.choice(of: sessions) ?? 0
    datagram[0] = 0xc8 | datagram[0] & 7
    datagram[1] %= 16
    if datagram[1] < 3 || datagram[1] == 15, datagram[0] & 2 == 2 {
      // A fragment: few packets, few message ids.
      let total = 1 + input.byte() % 4
      for (index, byte) in [0, total, 0, input.byte() % total].enumerated() {
        datagram[2 + index] = byte
      }
      if datagram.count >= 20 { for index in 16..<19 { datagram[index] = 0 } }
    } else {
      for (index, byte) in [0, 1, 0, 0].enumerated() { datagram[2 + index] = UInt8(byte) }
    }
    if input.flag(), datagram[1] != 14 { giveNumber(&datagram, &input) }
    for index in 0..<8 {
      datagram[8 + index] = UInt8(truncatingIfNeeded: session >> UInt64(56 - 8 * index))
    }
  }

  /// Puts a number in front of the packet, so that it is to be acknowledged.
  private func giveNumber(_ datagram: inout [UInt8], _ input: inout FuzzInput) {
    let session = datagram[8..<16]
    datagram[0] &= 0xf7
    datagram.removeSubrange(8..<16)
    datagram =
      [0xcc, 14, 0, 1, 0, 0, 0, 0] + session + [0, 4, 0, 0, 0, input.byte()] + datagram
  }

  private func receiveStream(_ input: inout FuzzInput) {
    guard let socket = input.choice(of: sockets) else { return }
    var bytes = input.string()
    if input.flag(), bytes.count >= 12 {
      let head = [
        0, 0, 0, UInt8(bytes.count - 4), 0xc0 | bytes[4] & 0xb, bytes[5] % 16, 0, 1, 0, 0,
      ]
      bytes.replaceSubrange(0..<head.count, with: head)
    }
    endpoint.receiveStream(bytes.span, on: socket.id, at: now)
    settle(bytes)
  }

  private func breakSocket(_ input: inout FuzzInput) {
    guard let socket = input.choice(of: sockets) else { return }
    if socket.kind == .stream {
      let end: StreamEnd = input.flag() ? .reset(systemError: 104) : .finished
      endpoint.streamEnded(socket.id, end, at: now)
    } else {
      endpoint.bounced(socket.id, .refused, systemError: 111, at: now)
    }
  }

  private func accept() {
    guard let listener = sockets.first(where: { $0.kind == .streamListener }) else { return }
    let id = newSocket()
    if endpoint.accepted(listener.id, id, remote: peer, local: local, at: now) {
      sockets.append((id, .stream))
    }
  }

  private func blockSocket(_ input: inout FuzzInput) {
    guard let socket = input.choice(of: sockets) else { return }
    endpoint.setBlocked(socket.id, input.flag())
    if input.byte() < 30 { connect(input.flag() ? .udp : .tcp) }
  }

  // MARK: What the program does

  private func connect(_ transport: Transport) {
    let server = Locator(transport: transport, host: .ip(peer.ip), port: 5)
    handles.append(endpoint.connect(server, options: options, userWords: UserWords(), at: now))
    settle([])
  }

  private func send(_ input: inout FuzzInput) {
    guard let handle = input.choice(of: handles) else { return }
    _ = endpoint.send(input.string().span, to: handle, at: now)
  }

  private func sendWith(_ input: inout FuzzInput) {
    guard let handle = input.choice(of: handles) else { return }
    let options = sendOptions(&input)
    if endpoint.send(message(&input).span, to: handle, options: options, at: now) == .ok,
      options.wantsOutcome
    {
      outcomesOwed += 1
    }
  }

  private func sendToMany(_ input: inout FuzzInput) {
    guard let handle = input.choice(of: handles) else { return }
    let options = sendOptions(&input)
    let bytes = message(&input)
    var reached = 0
    if input.flag() {
      let result = endpoint.broadcast(
        bytes.span, from: handle, options: options, at: now, skipped: { _, _ in })
      if case .success(let count) = result { reached = count }
    } else if case .success = endpoint.sendAny(
      bytes.span, from: handle, options: options, at: now)
    {
      reached = 1
    }
    if options.wantsOutcome { outcomesOwed += reached }
  }

  private func sendOptions(_ input: inout FuzzInput) -> SendOptions {
    var options = SendOptions()
    let choice = input.byte()
    options.isReliable = choice & 3 != 0
    options.wantsOutcome = choice & 4 == 4
    options.isAlone = choice & 0x42 == 0x42
    options.channel = choice >> 3 & 3
    options.key = UInt64(choice >> 5 & 3)
    if choice & 0x80 != 0 { options.deadline = .milliseconds(UInt64(input.byte())) }
    return options
  }

  /// A message of up to some 5000 bytes.
  private func message(_ input: inout FuzzInput) -> [UInt8] {
    let seed = input.string()
    return input.byte() < 64 ? Array(repeatElement(seed, count: 20).joined()) : seed
  }

  private func end(_ input: inout FuzzInput) {
    if input.flag() {
      if let get = gets.popLast() { _ = endpoint.cancel(get: get, at: now) }
    } else if input.byte() < 60, let handle = input.choice(of: handles) {
      _ = endpoint.abort(handle, at: now)
    }
  }

  private func untake(_ handle: Handle, _ input: inout FuzzInput) {
    let count = Int(input.byte()) % 5 - 3
    endpoint.untaken(handle, messages: count, bytes: count * 100)
  }

  private func get(_ input: inout FuzzInput) {
    guard let handle = input.choice(of: handles) else { return }
    let timeout = input.flag() ? Interval.milliseconds(UInt64(input.byte())) : nil
    let get = endpoint.get(
      message(&input).span, from: handle, context: 3, timeout: timeout, at: now)
    if case .success(let get) = get { gets.append(get) }
  }

  private func answer(_ input: inout FuzzInput) {
    guard let request = requests.popLast() else { return }
    let reply = message(&input)
    if endpoint.answerAtOnce(reply.span, to: request, lookedAt: now) { return }
    _ = endpoint.answer(reply.span, to: request, at: now)
  }

  // MARK: The loop's part

  private func settle(_ input: [UInt8]) {
    deliver(input)
    while let action = endpoint.pollAction() {
      perform(action)
      deliver(input)
    }
    if requests.count > 40 { requests.removeFirst(20) }
  }

  private func deliver(_ input: [UInt8]) {
    while let event = endpoint.pollEvent() {
      let payload = event.payload
      if payload.place == .input {
        hold(payload.count > 0 && payload.range.upperBound <= input.count)
      }
      if event.kind == .connectionReady { handles.append(event.handle) }
      if event.kind == .request { requests.append(event.request) }
      if event.kind == .delivered || event.kind == .undelivered { outcomesOwed -= 1 }
      hold(outcomesOwed >= 0)
      if event.next != .none { handles.append(event.next) }
      if isEnd(event.kind) { handles.removeAll { $0 == event.handle } }
    }
  }

  private func isEnd(_ kind: EventKind) -> Bool {
    switch kind {
    case .listeningError, .listeningEnded, .connectionSetupError, .connectionClosed,
      .connectionLost:
      true
    default: false
    }
  }

  private func perform(_ action: Action) {
    switch action {
    case .resolve(let handle, _, _): endpoint.resolved(handle, [peer], at: now)
    case .bind(let handle, let locator, _, _):
      let id = newSocket()
      guard endpoint.bound(handle, id, local: local, at: now) else { return }
      sockets.append((id, locator.transport == .udp ? .datagram : .streamListener))
    case .openDatagram(let handle, _, _):
      let id = newSocket()
      guard endpoint.datagramOpened(handle, id, local: local, at: now) else { return }
      sockets.append((id, .datagram))
    case .openStream(let handle, _):
      let id = newSocket()
      guard endpoint.streamOpened(handle, id, at: now) else { return }
      sockets.append((id, .stream))
      endpoint.streamConnected(id, local: local, at: now)
    case .close(let id), .reset(let id): sockets.removeAll { $0.id == id }
    case .shutdownWrite, .forgetName, .pause, .resume: break
    }
  }

  private func newSocket() -> SocketID {
    nextSocket += 1
    return SocketID(rawValue: nextSocket - 1)
  }

  private func flush() {
    var buffer = [UInt8](repeating: 0, count: WireFormat.maxDatagram)
    var count = 0
    endpoint.beginTurn(at: now)
    while let transmit = poll(&buffer) {
      count += 1
      hold(transmit.count <= WireFormat.maxDatagram)
      guard hold(count < 10_000, "output without end") else { return }
      if let session = buffer.span.bigEndian(UInt64.self, at: 16) { sessions.append(session) }
      if sessions.count > 30 { sessions.removeFirst() }
    }
    while count < 20_000, let id = endpoint.pollStream(at: now) {
      count += 1
      // Short writes of a length that the time decides.
      endpoint.writeStream(id, at: now) { min($0.count, 1 + Int(now.nanoseconds % 300)) }
    }
  }

  private func poll(_ buffer: inout [UInt8]) -> Transmit? {
    var span = buffer.mutableSpan
    return endpoint.pollTransmit(into: &span, at: now)
  }

  /// Ends everything, lets time pass, and holds that each table is empty; then the same of a shutdown.
  private func finish() {
    for socket in sockets { endpoint.setBlocked(socket.id, false) }
    _ = endpoint.setLimits(BoxLimits())
    for _ in 0..<8 {
      for handle in handles {
        if endpoint.disconnect(handle, at: now) != .ok { _ = endpoint.unlisten(handle, at: now) }
      }
      settle([])
      flush()
      now = now + .seconds(11)
      endpoint.handleTimeout(at: now, drainedAt: now)
      settle([])
      flush()
    }
    hold(endpoint.census.isEmpty && endpoint.nextDeadline == nil)
    hold(handles.isEmpty && sockets.isEmpty && outcomesOwed == 0)
    connect(.udp)
    connect(.tcp)
    endpoint.shutDown(at: now)
    flush()
    hold(endpoint.census.isEmpty && endpoint.nextDeadline == nil)
  }
}

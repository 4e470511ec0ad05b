/// The server's side: sockets that listen, and the connections that are cloned from them.
extension Endpoint {
  /// Asks for the listener's socket; the host of `locator` is no name.
  mutating func bind(_ slot: Int, to locator: Locator) {
    guard let state = connections[slot].listenerState else { return }
    connections[slot].phase = .binding
    // Known before the outcome, so that an error can tell which address it is about.
    connections[slot].local.port = locator.port
    if case .ip(let ip) = locator.host {
      connections[slot].local = Address(ip: ip, port: locator.port, scope: locator.scope)
    }
    actions.append(
      .bind(
        handle(slot), locator, bufferBytes: state.options.socketBufferBytes,
        sharesPort: state.options.sharePort))
  }

  /// The listener has its socket; `local` is the bound address with the real port. `steering` is
  /// what the ids of its sessions must begin with, so that their datagrams come to this socket of a
  /// shared port; 0 if it has its port alone.
  /// Returns false if the listener has ended meanwhile: the caller closes the socket.
  package mutating func bound(
    _ handle: Handle, _ socket: SocketID, local: Address, steering: UInt8 = 0, at now: Instant
  ) -> Bool {
    guard let slot = slot(handle), connections[slot].phase == .binding else { return false }
    connections[slot].listenerState?.steering = steering
    let isUDP = connections[slot].transport == .udp
    claim(socket, isUDP ? .datagramListener : .streamListener, owner: slot)
    connections[slot].socket = socket
    connections[slot].local = local
    connections[slot].phase = .open
    if !isUDP { streamListeners.append(slot) }
    emit(.listening, slot)
    return true
  }

  /// The first byte of the ids of a listener's sessions; 0 if it has its port alone.
  package func steering(of handle: Handle) -> UInt8 {
    slot(handle).flatMap { connections[$0].listenerState?.steering } ?? 0
  }

  package mutating func bindFailed(
    _ handle: Handle, _ status: Status, systemError: Int32, at now: Instant
  ) {
    guard let slot = slot(handle), connections[slot].phase == .binding else { return }
    failListener(slot, status, systemError: systemError)
  }

  /// A listener ends before it has begun.
  mutating func failListener(_ slot: Int, _ status: Status, systemError: Int32 = 0) {
    connections[slot].phase = .ended
    emit(.listeningError, slot, status, systemError: systemError)
  }

  /// A TCP listener accepted a socket. Returns false if it is not wanted (limits, listener ended):
  /// the caller closes it.
  package mutating func accepted(
    _ listener: SocketID, _ socket: SocketID, remote: Address, local: Address, at now: Instant
  ) -> Bool {
    guard let owner = owner(listener), connections[owner].phase == .open,
      let state = connections[owner].listenerState
    else { return false }
    state.reportedAcceptFailure = false
    guard state.hasRoom(for: remote.ip) else {
      counters.drop(.prefixFull)
      return false
    }
    if state.awaitingStreams.count >= configuration.maxPendingHellos,
      let oldest = state.awaitingStreams.first
    {
      counters.drop(.pendingFull)
      discard(oldest)
    }
    var record = serverRecord(owner, .tcp, remote: remote, local: local)
    record.phase = .awaitingHello
    record.socket = socket
    guard let slot = connections.insert(record) else {
      counters.drop(.connectionsFull)
      return false
    }
    connections.append(slot, to: &state.awaitingStreams)
    state.prefixes.add(remote.ip)
    claim(socket, .stream, owner: slot)
    connections[slot].timer = timers.schedule(
      .connection, slot, at: now + state.options.connectTimeout)
    return true
  }

  /// Ends the stream that has waited longest for its hello, of this listener or else of the one that
  /// has most of them, so that there is a descriptor for who comes: streams that say nothing keep
  /// nobody out. False if there is none.
  package mutating func endAwaiting(at listener: SocketID) -> Bool {
    guard let oldest = oldestAwaiting(at: listener) else { return false }
    counters.drop(.pendingFull)
    discard(oldest)
    return true
  }

  private func oldestAwaiting(at listener: SocketID) -> Int? {
    if let own = owner(listener).flatMap({ awaitingStreams(of: $0).first }) { return own }
    var most = SlotList()
    for slot in streamListeners where awaitingStreams(of: slot).count > most.count {
      most = awaitingStreams(of: slot)
    }
    return most.first
  }

  private func awaitingStreams(of listener: Int) -> SlotList {
    connections[listener].listenerState?.awaitingStreams ?? SlotList()
  }

  /// A TCP listener could not accept (out of descriptors): one `error` event per episode.
  package mutating func acceptFailed(
    _ listener: SocketID, _ status: Status, systemError: Int32, at now: Instant
  ) {
    guard let slot = owner(listener), connections[slot].phase == .open,
      let state = connections[slot].listenerState, !state.reportedAcceptFailure
    else { return }
    state.reportedAcceptFailure = true
    emit(.error, slot, status, systemError: systemError)
  }

  /// A connection cloned from its listener: it inherits callback, context and options.
  func serverRecord(
    _ listener: Int, _ transport: Transport, remote: Address, local: Address
  ) -> ConnectionRecord {
    var record = ConnectionRecord()
    record.role = .server
    record.transport = transport
    record.listener = UInt32(listener)
    record.userWords = connections[listener].userWords
    record.remote = remote
    record.local = local
    return record
  }

  // MARK: Hellos

  /// Answers a hello with an accept. No connection comes of it before the client has shown that the
  /// accept arrived; and when many hellos are pending, nothing at all is kept of it before the
  /// client has brought a cookie back.
  mutating func receiveHello(
    _ hello: Introduction, _ cookie: Cookie, _ source: DatagramSource, at now: Instant
  ) {
    // Many from one address at once are no client's: one cookie is enough for it.
    guard cookie != .none || !cookieBudget.hasJustAsked(source, at: now) else {
      return counters.drop(.answerBudget)
    }
    guard let listener = owner(source.socket), connections[listener].phase == .open,
      connections[listener].role == .listener, let state = connections[listener].listenerState
    else {
      counters.drop(.noSession)
      return
    }
    let known = pendingHellos.slot(
      socket: source.socket, source: source.remote, clientSession: hello.session)
    if let known {
      // Copies cost an answer each, and no client says hello again so soon.
      guard now.since(pendingHellos[known].answeredAt) >= PendingHellos.answerGap else {
        return counters.drop(.answerBudget)
      }
      pendingHellos[known].acceptedAt = nil
      return sendAccept(known, at: now)
    }
    guard hasRoom(state) || state.implicitPeers.first != nil, connections.hasRoom else {
      return refuse(hello, .connectionsFull, source, at: now)
    }
    guard state.hasRoom(for: source.remote.ip) else {
      return refuse(hello, .prefixFull, source, at: now)
    }
    guard
      !wantsCookie(state, source)
        || cookies.isGood(cookie, source.remote, hello.session, at: now, random: &random)
    else {
      counters.drop(.pendingFull)
      return sendCookie(hello, state, source, at: now)
    }
    if state.pendingHellos.count >= configuration.maxPendingHellos,
      let one = pendingHellos.oldest(of: state.pendingHellos, for: source.remote.ip)
    {
      // Who answers within a round trip gets in, however many hellos a flood leaves behind.
      counters.drop(.pendingFull)
      removePendingHello(one)
    }
    addPendingHello(hello, listener, state, source, at: now)
  }

  /// Answers a hello for which there is no room.
  private mutating func refuse(
    _ hello: Introduction, _ reason: DropReason, _ source: DatagramSource, at now: Instant
  ) {
    counters.drop(reason)
    if answerBudget.spend(on: source.remote.ip, at: now) {
      answer(.close(.overload), session: hello.session, source)
    }
  }

  /// Whether so many hellos are pending that more are kept only of those who get answers.
  private func wantsCookie(_ state: ListenerState, _ source: DatagramSource) -> Bool {
    state.pendingHellos.count > configuration.maxPendingHellos / 2
      || state.isCrowded(by: source.remote.ip)
  }

  /// Whether a listener takes one more connection.
  func hasRoom(_ state: ListenerState) -> Bool {
    state.connections.count < Int(state.options.maxConnections) && takesUnheardOf(state)
  }

  /// Connections of which the program has not heard yet, whether or not they have ended, are bounded
  /// like messages: peers may come and go while it is busy.
  func takesUnheardOf(_ state: ListenerState) -> Bool {
    state.untaken.connections
      < Int(min(state.options.maxConnections, state.options.receiveMarkMessages))
  }

  private mutating func sendCookie(
    _ hello: Introduction, _ state: ListenerState, _ source: DatagramSource, at now: Instant
  ) {
    guard !cookieBudget.hasJustAsked(source, at: now) else {
      return counters.drop(.answerBudget)
    }
    cookieBudget.asked(source, at: now)
    if isBehind,
      !firstHellos.isRepeat(source.remote, hello.session, at: now, random: &random)
    {
      return counters.drop(.answerBudget)
    }
    let waiting = sockets[Int(source.socket.rawValue)].waiting?.out.count ?? 0
    guard waiting < CookieBudget.room else { return counters.drop(.sendFailed) }
    // While answers leave as fast as hellos come, each gets its cookie: else who forges a prefix would
    // keep out everybody in it.
    guard
      waiting < CookieBudget.free
        || cookieBudget.spend(on: source.remote.ip, waiting: waiting, at: now, random: &random)
    else {
      return counters.drop(.answerBudget)
    }
    let cookie = cookies.make(
      source.remote, hello.session, steering: state.steering, at: now, random: &random)
    answer(.cookie(cookie), session: hello.session, source)
  }

  private mutating func addPendingHello(
    _ hello: Introduction, _ listener: Int, _ state: ListenerState, _ source: DatagramSource,
    at now: Instant
  ) {
    let pending = PendingHello(
      session: newSession(under: state.steering), peer: hello, listener: UInt32(listener),
      socket: source.socket,
      remote: source.remote, local: source.local, acceptedAt: now)
    guard let slot = pendingHellos.insert(pending, to: &state.pendingHellos) else {
      counters.drop(.pendingFull)
      return
    }
    state.prefixes.add(source.remote.ip)
    let expiry = now + PendingHellos.lifetime
    pendingHellos[slot].timer = timers.schedule(.pendingHello, slot, at: expiry)
    sendAccept(slot, at: now)
  }

  private mutating func sendAccept(_ pending: Int, at now: Instant) {
    pendingHellos[pending].answeredAt = now
    let hello = pendingHellos[pending]
    var introduction = introduction(Int(hello.listener))
    introduction.session = hello.session
    answer(.accept(introduction), session: hello.peer.session, hello.source)
  }

  /// The first packet with the id of a pending hello came from where the hello came from: somebody
  /// is there. Returns the slot of the new connection; nil if there is no room.
  mutating func confirm(_ pending: Int, at now: Instant) -> Int? {
    let hello = pendingHellos[pending]
    removePendingHello(pending)
    let listener = Int(hello.listener)
    guard let state = connections[listener].listenerState else { return nil }
    makeRoom(state, at: now)
    guard hasRoom(state) else {
      counters.drop(.connectionsFull)
      return nil
    }
    var record = serverRecord(listener, .udp, remote: hello.remote, local: hello.local)
    record.socket = hello.socket
    record.session = hello.session
    // Later it may be a repeat of a confirmation that was lost.
    if let time = hello.acceptedAt.map({ now.since($0) }), time < .milliseconds(500) {
      record.roundTrip = time
    }
    guard let slot = connections.insert(record) else {
      counters.drop(.connectionsFull)
      return nil
    }
    link(slot, to: listener)
    open(slot, peer: hello.peer, at: now)
    emit(.connectionReady, slot)
    connections[slot].flags.insert(.owesBeat)
    return slot
  }

  mutating func removePendingHello(_ pending: Int) {
    timers.cancel(&pendingHellos[pending].timer)
    let listener = Int(pendingHellos[pending].listener)
    guard let state = connections[listener].listenerState else { return }
    state.prefixes.remove(pendingHellos[pending].remote.ip)
    pendingHellos.remove(pending, from: &state.pendingHellos)
  }

  // MARK: The connections of a listener, in the order of their coming

  mutating func link(_ slot: Int, to listener: Int) {
    guard let state = connections[listener].listenerState else { return }
    connections.append(slot, to: &state.connections)
    state.prefixes.add(connections[slot].remote.ip)
  }

  mutating func unlink(_ slot: Int) {
    let listener = connections[slot].listener
    guard listener != ConnectionRecord.noSlot,
      let state = connections[Int(listener)].listenerState
    else { return }
    connections.unlink(slot, from: &state.connections)
    state.prefixes.remove(connections[slot].remote.ip)
  }

  // MARK: End

  /// Ends every connection of a listener, then the listener, as soon as they are closed.
  mutating func retireListener(_ slot: Int, at now: Instant) {
    guard let state = connections[slot].listenerState else { return }
    connections[slot].phase = .retiring
    while let stream = state.awaitingStreams.first { discard(stream) }
    refusePendingHellos(state)
    if connections[slot].transport == .tcp {
      streamListeners.removeAll { $0 == slot }
      closeNow(connections[slot].socket)
    }
    for connection in connections.members(of: state.connections)
    where connections[connection].phase == .open {
      close(connection, .normal, .endUnlistened, at: now)
    }
    endIfRetired(slot, state)
  }

  /// A connection of a listener has ended.
  mutating func listenerLost(_ slot: Int) {
    guard connections[slot].listener != ConnectionRecord.noSlot else { return }
    let listener = Int(connections[slot].listener)
    guard connections[listener].phase == .retiring,
      let state = connections[listener].listenerState
    else { return }
    endIfRetired(listener, state)
  }

  /// A listener that has ended and has no connection any more: over UDP its socket closes as soon
  /// as it has sent their closes.
  private mutating func endIfRetired(_ slot: Int, _ state: ListenerState) {
    guard state.connections.first == nil, connections[slot].phase == .retiring else { return }
    switch connections[slot].transport {
    case .tcp: endListener(slot)
    case .udp: finish(connections[slot].socket)
    }
  }

  /// Tells those whose hellos were answered, and who may believe that they are connected.
  mutating func refusePendingHellos(_ state: ListenerState) {
    while let pending = state.pendingHellos.first {
      let hello = pendingHellos[pending]
      answer(.close(.normal), session: hello.peer.session, hello.source)
      removePendingHello(pending)
    }
  }

  mutating func endListener(_ slot: Int) {
    connections[slot].phase = .ended
    emit(.listeningEnded, slot, .endLocal)
  }
}

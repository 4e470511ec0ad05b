/// The client's way to an open connection: name, addresses, socket, hello, accept.
extension Endpoint {
  /// How long an address more may have when the loop has not opened its socket in time.
  private static let openPatience = Interval.milliseconds(100)

  mutating func insertClient(
    _ locator: Locator?, options: ConnectionOptions, userWords: UserWords
  ) -> Int? {
    var record = ConnectionRecord()
    record.role = .client
    record.transport = locator?.transport ?? .udp
    record.phase = .waiting
    record.userWords = userWords
    record.clientState = ClientState(locator: locator, options: options)
    return connections.insert(record)
  }

  /// Starts the clock of one attempt to connect.
  mutating func beginAttempt(_ slot: Int, at now: Instant) {
    guard let state = connections[slot].clientState, let locator = state.locator else { return }
    state.deadline = now + state.options.connectTimeout
    connections[slot].phase = .resolving
    switch locator.host {
    case .name(let name):
      armConnecting(slot, at: now)
      actions.append(.resolve(handle(slot), name: name, port: locator.port))
    case .ip(let ip):
      state.candidates.append(Address(ip: ip, port: locator.port, scope: locator.scope))
      tryNextCandidate(slot, at: now)
    case .any:
      end(slot, .connectionSetupError, .badAddress, at: now)
    }
  }

  package mutating func resolved(_ handle: Handle, _ addresses: [Address], at now: Instant) {
    guard let slot = slot(handle), connections[slot].phase == .resolving else { return }
    if connections[slot].role == .listener {
      guard let address = addresses.first, var locator = connections[slot].listenerState?.locator
      else { return failListener(slot, .resolve) }
      locator.host = .ip(address.ip)
      locator.scope = address.scope
      bind(slot, to: locator)
      return
    }
    guard let state = connections[slot].clientState else { return }
    guard !addresses.isEmpty else {
      end(slot, .connectionSetupError, .resolve, at: now)
      return
    }
    for address in addresses { state.candidates.append(address) }
    tryNextCandidate(slot, at: now)
  }

  package mutating func resolveFailed(_ handle: Handle, systemError: Int32, at now: Instant) {
    guard let slot = slot(handle), connections[slot].phase == .resolving else { return }
    if connections[slot].role == .listener {
      failListener(slot, .resolve, systemError: systemError)
    } else {
      end(slot, .connectionSetupError, .resolve, systemError: systemError, at: now)
    }
  }

  /// Opens a socket to the next address, or gives up with the reason for which the last one failed.
  private mutating func tryNextCandidate(_ slot: Int, at now: Instant) {
    guard let state = connections[slot].clientState else { return }
    guard now < state.deadline, let address = state.candidates.popFirst() else {
      end(slot, .connectionSetupError, state.failure, systemError: state.failureError, at: now)
      return
    }
    // What the address before it failed of is no reason of this one.
    state.failure = .timedOut
    state.failureError = 0
    let share = state.deadline.since(now) / UInt64(state.candidates.count + 1)
    state.candidateDeadline = now + share
    connections[slot].phase = .opening
    connections[slot].remote = address
    armConnecting(slot, at: now)
    switch connections[slot].transport {
    case .udp:
      let size = state.options.socketBufferBytes
      actions.append(.openDatagram(handle(slot), address, bufferBytes: size))
    case .tcp:
      actions.append(.openStream(handle(slot), address))
    }
  }

  /// Returns false if the connection has ended meanwhile: the caller closes the socket.
  package mutating func datagramOpened(
    _ handle: Handle, _ socket: SocketID, local: Address, at now: Instant
  ) -> Bool {
    guard let slot = slot(handle), connections[slot].phase == .opening,
      let state = connections[slot].clientState
    else { return false }
    claim(socket, .datagramClient, owner: slot)
    connections[slot].socket = socket
    connections[slot].local = local
    connections[slot].session = newSession()
    connections[slot].phase = .helloing
    state.helloGap = ClientState.firstGap
    state.helloSentAt = now
    state.cookie = .none
    sendHello(slot, at: now)
    return true
  }

  /// A TCP socket is connecting for `handle`. Returns false if the connection has ended meanwhile.
  package mutating func streamOpened(_ handle: Handle, _ socket: SocketID, at now: Instant) -> Bool
  {
    guard let slot = slot(handle), connections[slot].phase == .opening else { return false }
    claim(socket, .stream, owner: slot)
    sockets[Int(socket.rawValue)].phase = .connecting
    connections[slot].socket = socket
    return true
  }

  package mutating func streamConnected(_ socket: SocketID, local: Address, at now: Instant) {
    guard let slot = owner(socket), connections[slot].phase == .opening, isStream(socket) else {
      return
    }
    sockets[Int(socket.rawValue)].phase = .open
    connections[slot].local = local
    connections[slot].session = newSession()
    connections[slot].phase = .helloing
    appendToStream(socket, .hello(introduction(slot)), session: 0)
    armConnecting(slot, at: now)
  }

  /// No socket could be opened, or connecting it failed. A socket named by `streamOpened` was
  /// closed by the caller.
  package mutating func openFailed(
    _ handle: Handle, _ status: Status, systemError: Int32, at now: Instant
  ) {
    guard let slot = slot(handle), connections[slot].phase == .opening else { return }
    release(connections[slot].socket)
    candidateFailed(slot, status, systemError: systemError, at: now)
  }

  /// A datagram sent on this connected socket bounced (ECONNREFUSED, EHOSTUNREACH...): a hint,
  /// never a proof.
  package mutating func bounced(
    _ socket: SocketID, _ status: Status, systemError: Int32, at now: Instant
  ) {
    guard let slot = owner(socket), let state = connections[slot].clientState else { return }
    switch connections[slot].phase {
    case .helloing:
      state.failure = status
      state.failureError = systemError
      // Somebody may come to listen there yet; only another address is worth leaving this one for.
      if !state.candidates.isEmpty { leaveCandidate(slot, at: now) }
    case .open:
      probe(slot, at: now)
    default:
      break
    }
  }

  /// The address at hand cannot be connected to: the next one is tried, if there is one.
  mutating func candidateFailed(
    _ slot: Int, _ status: Status, systemError: Int32, at now: Instant
  ) {
    guard let state = connections[slot].clientState else { return }
    state.failure = status
    state.failureError = systemError
    leaveCandidate(slot, at: now)
  }

  private mutating func leaveCandidate(_ slot: Int, at now: Instant) {
    closeNow(connections[slot].socket)
    connections[slot].socket = ConnectionRecord.noSocket
    tryNextCandidate(slot, at: now)
  }

  private mutating func sendHello(_ slot: Int, at now: Instant) {
    guard let state = connections[slot].clientState else { return }
    sendControl(.hello(introduction(slot), state.cookie), session: 0, slot)
    state.mayHurry = true
    state.nextHello = now + state.helloGap
    state.helloGap = state.helloGap * 2
    armConnecting(slot, at: now)
  }

  /// The server wants to see its cookie before it keeps anything of us. A server that always wants
  /// another one, or whoever speaks in its name, makes at most two hellos of each that is due.
  mutating func challenged(_ slot: Int, _ cookie: Cookie, at now: Instant) {
    guard let state = connections[slot].clientState else { return }
    if state.cookie == .none {
      // The server is there and has much to do: what it gets now may well be lost.
      state.helloGap = ClientState.firstGap
      state.nextHello = now + ClientState.cookieGap
      armConnecting(slot, at: now)
    }
    state.cookie = cookie
    guard state.mayHurry else { return }
    state.mayHurry = false
    // The round trip is that of the hello that is accepted.
    if state.helloSentAt != nil { state.helloSentAt = now }
    sendControl(.hello(introduction(slot), cookie), session: 0, slot)
  }

  /// What we tell the peer about ourselves.
  func introduction(_ slot: Int) -> Introduction {
    // Zero asks for no heartbeats.
    let own = options(slot)
    let lost = own.liveness == .onDemand ? 0 : own.lost.millisecondsRoundedUp
    return Introduction(
      session: connections[slot].session, lostAfter: UInt32(clamping: lost),
      largest: UInt32(clamping: ownLargest(slot)))
  }

  /// Of the options that a connection lives by, read where they are.
  private func maxMessageBytes(_ slot: Int) -> Int {
    if let state = connections[slot].clientState { return Int(state.options.maxMessageBytes) }
    let listener = connections[slot].listener
    let owner = listener == ConnectionRecord.noSlot ? slot : Int(listener)
    return connections[owner].listenerState.map { Int($0.options.maxMessageBytes) } ?? 0
  }

  /// The largest message that we accept.
  func ownLargest(_ slot: Int) -> Int {
    if let traffic = connections[slot].traffic { return traffic.largest }
    let configured = maxMessageBytes(slot)
    guard configured == 0 else { return configured }
    switch connections[slot].transport {
    case .tcp: return WireFormat.defaultStreamLargest
    case .udp: return WireFormat.defaultDatagramLargest
    }
  }

  /// The peer is there and has told its id: the client's outcome.
  mutating func accepted(_ slot: Int, by peer: Introduction, at now: Instant) {
    timers.cancel(&connections[slot].timer)
    if connections[slot].transport == .udp,
      let sentAt = connections[slot].clientState?.helloSentAt
    {
      connections[slot].roundTrip = now.since(sentAt)
    }
    open(slot, peer: peer, at: now)
    emit(.connectionSetup, slot)
    flushEarly(slot, at: now)
    guard connections[slot].transport == .udp, let state = connections[slot].clientState else {
      return
    }
    // What was queued early says as well as a heartbeat that the accept has come; but it may be
    // lost, so it repeats.
    beat(slot, at: now)
    state.confirmationsLeft = 4
    state.confirmationGap = .milliseconds(500)
    state.nextHello = now + state.confirmationGap
    armOpen(slot, at: now)
  }

  // MARK: Timers

  private mutating func armConnecting(_ slot: Int, at now: Instant) {
    guard let state = connections[slot].clientState else { return }
    var due = state.deadline
    if !state.candidates.isEmpty { due = min(due, state.candidateDeadline) }
    if connections[slot].phase == .helloing, connections[slot].transport == .udp {
      due = min(due, state.nextHello)
    }
    timers.cancel(&connections[slot].timer)
    connections[slot].timer = timers.schedule(.connection, slot, at: due)
  }

  /// The timer of a client that is not open yet.
  mutating func connectingTimer(_ slot: Int, at now: Instant) {
    guard let state = connections[slot].clientState else { return }
    if connections[slot].phase == .waiting {
      beginAttempt(slot, at: now)
    } else if now >= state.deadline {
      end(slot, .connectionSetupError, state.failure, systemError: state.failureError, at: now)
    } else if !state.candidates.isEmpty, now >= state.candidateDeadline {
      guard connections[slot].socket != ConnectionRecord.noSocket else {
        // A busy loop has not come to open the socket. Asked for another, it would give this
        // connection two.
        state.candidateDeadline = now + Endpoint.openPatience
        return armConnecting(slot, at: now)
      }
      leaveCandidate(slot, at: now)
    } else if connections[slot].phase == .helloing, connections[slot].transport == .udp,
      now >= state.nextHello
    {
      state.helloSentAt = nil
      sendHello(slot, at: now)
    } else {
      armConnecting(slot, at: now)
    }
  }

  /// Makes the connection that replaces one that failed or was lost, if its options say so.
  mutating func insertSuccessor(_ slot: Int, _ status: Status, at now: Instant) -> Handle {
    guard let state = connections[slot].clientState, let locator = state.locator,
      state.options.reconnectWait.nanoseconds > 0,
      status != .cancelled, status != .badAddress, status != .invalidArgument,
      let next = insertClient(
        locator, options: state.options, userWords: connections[slot].userWords)
    else { return .none }
    // Jitter, so that the clients of a restarted server do not come all at once.
    let wait = state.options.reconnectWait
    let jitter = Interval(nanoseconds: random.below(wait.nanoseconds / 4 + 1))
    connections[next].timer = timers.schedule(.connection, next, at: now + wait + jitter)
    return handle(next)
  }
}

/// How connections open and end. Every end goes through `end`, which keeps the order of events.
extension Endpoint {
  /// The handshake is done: the connection joins conn_status and the rotation.
  mutating func open(_ slot: Int, peer: Introduction, at now: Instant) {
    connections[slot].phase = .open
    connections[slot].peerSession = peer.session
    connections[slot].peerLargest = peer.largest
    connections[slot].lastHeard = now
    connections[slot].lastSent = now
    let own = options(slot)
    if own.maxMessageBytes != 0 { connections[slot].flags.insert(.limitsMessages) }
    connStatus.add(slot, in: connections)
    if connections[slot].role == .server, connections[slot].transport == .udp, peer.session != 0,
      bySendSession.slot(peer.session, in: connections) == nil
    {
      bySendSession.add(slot, in: connections)
      connections[slot].flags.insert(.isIndexed)
    }
    if own.liveness == .onDemand { connections[slot].flags.insert(.onDemand) }
    joinRotation(slot, own, peerLostAfter: peer.lostAfter, at: now)
  }

  /// Decides the end of a connection: missing replies and undelivered messages first, then the
  /// event of the end; nothing after it.
  mutating func end(
    _ slot: Int, _ kind: EventKind, _ status: Status, systemError: Int32 = 0, at now: Instant
  ) {
    guard connections[slot].phase != .ended else { return }
    let isClosing = connections[slot].phase == .closing
    forget(slot, at: now)
    failAllGets(slot, .connectionEnded)
    let undelivered = dropQueue(slot)
    var next = Handle.none
    if kind != .connectionClosed, !isClosing { next = insertSuccessor(slot, status, at: now) }
    emit(
      isClosing ? .connectionClosed : kind,
      slot, isClosing ? closeStatus(slot) : status, systemError: isClosing ? 0 : systemError,
      next: next, undelivered: undelivered)
    listenerLost(slot)
  }

  /// What the program is told of a connection that it has ended itself, however that went.
  private func closeStatus(_ slot: Int) -> Status {
    connections[slot].traffic?.closeStatus ?? .endLocal
  }

  /// Ends a connection of which no event has told: a stream whose hello never came.
  mutating func discard(_ slot: Int) {
    forget(slot, at: connections[slot].lastHeard)
    connections.remove(slot)
  }

  /// Takes a connection out of every table but that of handles.
  private mutating func forget(_ slot: Int, at now: Instant) {
    timers.cancel(&connections[slot].timer)
    if connections[slot].phase == .resolving { actions.append(.forgetName(handle(slot))) }
    if connections[slot].phase == .awaitingHello { stopAwaiting(slot) }
    if connections[slot].hasSession {
      unlink(slot)
      connStatus.remove(slot, in: connections)
      let flags = connections[slot].flags
      if flags.contains(.implicit) {
        implicitCloses.add(connections[slot].session)
      } else {
        pendingCloses.add(connections[slot].session)
      }
      sweepRotation(Int(connections[slot].beats))
      if flags.contains(.isIndexed) { bySendSession.remove(slot, in: connections) }
      if flags.contains(.implicit) { forgetImplicit(slot, at: now) }
      forgetChange(slot)
    }
    abandonSocket(slot)
    connections[slot].phase = .ended
    removeAllRequests(slot)
    if let traffic = connections[slot].traffic {
      timers.cancel(&traffic.recoveryTimer)
      timers.cancel(&traffic.getsTimer)
      timers.cancel(&traffic.reassemblyTimer)
      timers.cancel(&traffic.expiryTimer)
      traffic.reassembly = nil
      traffic.inbox = nil
      hold(traffic, 0)
    }
  }

  /// The socket of a connection that ends before it was open, or whose stream is gone.
  private mutating func abandonSocket(_ slot: Int) {
    let socket = connections[slot].socket
    guard socket != ConnectionRecord.noSocket, owner(socket) == slot else { return }
    switch sockets[Int(socket.rawValue)].kind {
    case .datagramClient, .stream: closeNow(socket)
    case .datagramListener, .streamListener, .free: break
    }
  }

  /// What was accepted from the program and cannot be sent any more is told to those sends that
  /// asked, and counted. Returns how many messages that are.
  private mutating func dropQueue(_ slot: Int) -> Int {
    guard let traffic = connections[slot].traffic else { return 0 }
    while let message = traffic.early.popFirst() {
      tellOutcome(message.options, .connectionEnded, slot)
    }
    while let message = traffic.waiting.removeFirst() {
      tellOutcome(message.options, .connectionEnded, slot)
    }
    while let message = traffic.streamOutbox.popFirst() {
      tellOutcome(message.options, .connectionEnded, slot)
    }
    if let outbox = traffic.outbox {
      outbox.abandon()
      takeOutcomes(slot, traffic, outbox)
    }
    let undelivered = traffic.queuedMessages
    drop(.ended, slot, count: UInt64(undelivered))
    release(traffic, messages: undelivered, bytes: traffic.queuedBytes)
    traffic.builder = nil
    traffic.builderMessages = 0
    traffic.builderBytes = 0
    traffic.sealed = FIFO()
    return undelivered
  }

  // MARK: Ends of open connections

  /// Ends an open connection from our side: what is queued is delivered, then a close is sent.
  mutating func close(
    _ slot: Int, _ reason: CloseReason, _ status: Status, at now: Instant
  ) {
    // One that never carried a message needs no memory for its end either.
    guard let traffic = connections[slot].traffic else {
      return sayClose(slot, reason, status, at: now)
    }
    traffic.closeReason = reason
    traffic.closeStatus = status
    connections[slot].phase = .closing
    failAllGets(slot, .connectionEnded)
    removeAllRequests(slot)
    resumeStream(connections[slot].socket)
    guard !isFlushed(slot, traffic) else { return finishClosing(slot, at: now) }
    timers.cancel(&connections[slot].timer)
    connections[slot].timer = timers.schedule(
      .connection, slot, at: now + options(slot).closeTimeout)
    if connections[slot].transport == .udp { makeReady(slot) }
  }

  private func isFlushed(_ slot: Int, _ traffic: Traffic) -> Bool {
    connections[slot].transport == .udp ? traffic.isFlushed : traffic.queuedMessages == 0
  }

  /// Everything that was accepted is delivered, or what is left is given up: the close is sent, and
  /// the connection has ended.
  mutating func finishClosing(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    sayClose(slot, traffic.closeReason, traffic.closeStatus, at: now)
  }

  /// Ends an open connection from our side at once: what is queued is given up.
  mutating func cutOff(
    _ slot: Int, _ reason: CloseReason = .normal, _ status: Status = .endLocal, at now: Instant
  ) {
    failAllGets(slot, .connectionEnded)
    sayClose(slot, reason, status, at: now)
  }

  private mutating func sayClose(
    _ slot: Int, _ reason: CloseReason, _ status: Status, at now: Instant
  ) {
    let traffic = connections[slot].traffic
    switch connections[slot].transport {
    case .udp:
      if traffic?.closeIsPacked != true { sendClose(slot, reason, at: now) }
      bury(slot, reason, repeats: Tombstones.repeats, at: now)
    case .tcp:
      let socket = connections[slot].socket
      stream(socket)?.out.dropUnbegun()
      if let traffic { writeOwedAck(socket, traffic) }
      appendToStream(socket, .close(reason), session: nil)
      beginClosing(socket, at: now)
    }
    end(slot, .connectionClosed, status, at: now)
  }

  /// The peer said close: it is answered once, and the local event follows.
  mutating func closedByPeer(_ slot: Int, _ reason: CloseReason, at now: Instant) {
    if connections[slot].transport == .udp {
      sendControl(
        .close(.normal), session: connections[slot].sendSession, slot, room: SocketState.answerMark)
      bury(slot, .normal, repeats: 0, at: now)
    }
    end(slot, .connectionClosed, status(of: reason), at: now)
  }

  /// The peer said close instead of accept. A plain one comes from a listener that ends, so nobody
  /// listens there.
  mutating func refused(_ slot: Int, _ reason: CloseReason, at now: Instant) {
    let status = reason == .normal ? .refused : status(of: reason)
    end(slot, .connectionSetupError, status, at: now)
  }

  /// The peer is gone without a close.
  mutating func lose(
    _ slot: Int, _ status: Status, systemError: Int32 = 0, at now: Instant
  ) {
    if connections[slot].transport == .udp { bury(slot, .normal, repeats: 0, at: now) }
    end(slot, .connectionLost, status, systemError: systemError, at: now)
  }

  func status(of reason: CloseReason) -> Status {
    switch reason {
    case .normal: .endPeer
    case .unknownSession: .unknownSession
    case .idle: .idle
    case .denied: .denied
    case .overload: .overload
    case .protocolError: .protocolError
    case .replaced: .replaced
    }
  }

  // MARK: Tombstones

  /// Leaves a tombstone for a UDP session, and its socket, if it was its own, to finish.
  private mutating func bury(
    _ slot: Int, _ reason: CloseReason, repeats: Int, at now: Instant
  ) {
    let isClient = connections[slot].role == .client
    let socket = connections[slot].socket
    if !connections[slot].flags.contains(.implicit), !isClient || repeats > 0 {
      if tombstones.count >= configuration.maxTombstones, let oldest = tombstones.oldest {
        removeTombstone(oldest)
      }
      let expiry = now + Tombstones.lifetime
      let stone = Tombstone(
        session: connections[slot].session, peerSession: connections[slot].peerSession,
        socket: socket, remote: connections[slot].remote, local: connections[slot].local,
        reason: reason, repeatsLeft: repeats, expiry: expiry)
      if let index = tombstones.insert(stone) {
        if repeats > 0 { sockets[Int(socket.rawValue)].waitingForMore().repeatingCloses += 1 }
        let due = repeats > 0 ? now + Tombstones.repeatGap : expiry
        tombstones[index].timer = timers.schedule(.tombstone, index, at: due)
      }
    }
    if isClient {
      sockets[Int(socket.rawValue)].owner = ConnectionRecord.noSlot
      finish(socket)
    }
  }

  /// The peer has answered our close.
  mutating func tombstoneAnswered(_ stone: Int) {
    guard tombstones[stone].repeatsLeft > 0 else {
      counters.drop(.staleClose)
      return
    }
    stopRepeating(stone)
  }

  private mutating func stopRepeating(_ stone: Int) {
    let socket = tombstones[stone].socket
    let expiry = tombstones[stone].expiry
    tombstones[stone].repeatsLeft = 0
    timers.cancel(&tombstones[stone].timer)
    let isOwnSocket = sockets[Int(socket.rawValue)].kind == .datagramClient
    if isOwnSocket {
      // Its socket closes with it, so nothing can come late.
      tombstones.remove(stone)
    } else {
      tombstones[stone].timer = timers.schedule(.tombstone, stone, at: expiry)
    }
    sockets[Int(socket.rawValue)].waiting?.repeatingCloses -= 1
    finishIfIdle(socket)
  }

  private mutating func removeTombstone(_ stone: Int) {
    if tombstones[stone].repeatsLeft > 0 { stopRepeating(stone) }
    guard tombstones.isLive(stone) else { return }
    timers.cancel(&tombstones[stone].timer)
    tombstones.remove(stone)
  }

  mutating func tombstoneTimer(_ index: Int, at now: Instant) {
    tombstones[index].timer = .none
    let stone = tombstones[index]
    guard stone.repeatsLeft > 0 else {
      tombstones.remove(index)
      return
    }
    answer(
      .close(stone.reason), session: stone.peerSession, stone.source, room: SocketState.waitingMark)
    guard stone.repeatsLeft > 1 else { return stopRepeating(index) }
    tombstones[index].repeatsLeft -= 1
    tombstones[index].timer = timers.schedule(.tombstone, index, at: now + Tombstones.repeatGap)
  }
}

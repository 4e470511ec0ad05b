/// The sockets of the loop, and what goes to them besides messages.
extension Endpoint {
  // MARK: Sockets

  func socketIsOpen(_ socket: SocketID) -> Bool {
    let index = Int(socket.rawValue)
    return index < sockets.count && sockets[index].kind != .free
  }

  /// The slot of the listener or connection that a socket belongs to.
  func owner(_ socket: SocketID) -> Int? {
    guard socketIsOpen(socket) else { return nil }
    let owner = sockets[Int(socket.rawValue)].owner
    return owner == ConnectionRecord.noSlot ? nil : Int(owner)
  }

  /// The listener or connection that a socket belongs to; nil if that has ended.
  func handle(ofOwner socket: SocketID) -> Handle? { owner(socket).map { handle($0) } }

  mutating func claim(_ socket: SocketID, _ kind: SocketState.Kind, owner: Int) {
    let index = Int(socket.rawValue)
    while sockets.count <= index { sockets.append(SocketState()) }
    sockets[index] = SocketState()
    sockets[index].kind = kind
    sockets[index].owner = UInt32(owner)
  }

  /// Forgets a socket that the loop has closed or will close.
  mutating func release(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    if let stream = sockets[index].stream {
      timers.cancel(&stream.timer)
      stream.refusal = 0
      holdNothing(stream)
      stream.out.clear()
      rest(socket)
    }
    #if DEBUG
      if isStream(socket) { StateChange.tell("stream", sockets[index].phase, nil) }
    #endif
    sockets[index] = SocketState()
  }

  mutating func closeNow(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    release(socket)
    actions.append(.close(socket))
  }

  mutating func resetNow(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    release(socket)
    actions.append(.reset(socket))
  }

  /// Closes a UDP socket once it has sent everything and repeats no close.
  mutating func finish(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    sockets[Int(socket.rawValue)].isFinishing = true
    finishIfIdle(socket)
  }

  mutating func finishIfIdle(_ socket: SocketID) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    guard sockets[index].isFinishing, sockets[index].waiting?.isIdle ?? true
    else { return }
    let listener = owner(socket)
    closeNow(socket)
    if let listener, connections[listener].phase == .retiring { endListener(listener) }
  }

  /// The socket's send buffer is full (true) or has room again (false): `pollTransmit` passes over
  /// full sockets.
  package mutating func setBlocked(_ socket: SocketID, _ blocked: Bool) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    sockets[index].isBlocked = blocked
    guard !blocked else { return }
    if sockets[index].kind == .stream {
      return markStreamReady(socket)
    }
    guard let waiting = sockets[index].waiting else { return }
    if !waiting.out.isEmpty { markReady(socket) }
    while let entry = waiting.parked.popFirst() { unpark(entry) }
  }

  /// The system refused to send a datagram for another reason than a full buffer.
  package mutating func sendFailed(_ socket: SocketID, systemError: Int32, at now: Instant) {
    counters.drop(.sendFailed)
    guard let slot = owner(socket), let state = connections[slot].clientState,
      connections[slot].phase == .helloing
    else { return }
    state.failure = .unreachable
    state.failureError = systemError
  }

  // MARK: Datagrams

  /// A datagram came of which there was more than the `count` bytes that were received.
  package mutating func receivedTruncated(_ count: Int) {
    counters.datagramsReceived &+= 1
    counters.bytesReceived &+= UInt64(count)
    counters.drop(.truncated)
  }

  /// Sends a packet of a connection that carries no message, in a datagram of its own or as a
  /// frame. `room` is how many may wait before it; one that nothing repeats is never dropped for want
  /// of it.
  mutating func sendControl(
    _ packet: ControlPacket, session: UInt64?, _ slot: Int, room: Int = SocketState.waitingMark
  ) {
    enqueue(
      OutDatagram(
        content: .control(packet, session: session), remote: connections[slot].remote,
        local: connections[slot].sendLocal),
      on: connections[slot].socket, room: room)
  }

  /// Answers a datagram of somebody who is no connection.
  mutating func answer(
    _ packet: ControlPacket, session: UInt64, _ source: DatagramSource,
    room: Int = SocketState.answerMark
  ) {
    enqueue(
      OutDatagram(
        content: .control(packet, session: session), remote: source.remote, local: source.local),
      on: source.socket, room: room)
  }

  mutating func answerStranger(
    _ packet: ControlPacket, session: UInt64, _ source: DatagramSource, at now: Instant
  ) {
    if answerBudget.spend(on: source.remote.ip, at: now) {
      answer(packet, session: session, source)
    } else {
      counters.drop(.answerBudget)
    }
  }

  mutating func enqueue(_ datagram: OutDatagram, on socket: SocketID, room: Int = .max) {
    guard socketIsOpen(socket) else { return }
    let index = Int(socket.rawValue)
    let waiting = sockets[index].waitingForMore()
    guard waiting.out.count < room else {
      counters.drop(.sendFailed)
      return
    }
    waiting.out.append(datagram)
    markReady(socket)
  }

  mutating func markReady(_ socket: SocketID) {
    let index = Int(socket.rawValue)
    guard !sockets[index].isReady, !sockets[index].isBlocked else { return }
    sockets[index].isReady = true
    readySockets.append(socket)
  }
}

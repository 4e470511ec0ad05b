/// Where a datagram came from and to: what an answer goes back to.
struct DatagramSource {
  var socket: SocketID
  var remote: Address
  var local: Address
}

/// The way of a datagram: its session, then its packets.
extension Endpoint {
  /// One datagram of 0 or more bytes. `local` is the address that it was sent to, if the system
  /// told.
  @inline(never)
  package mutating func receive(
    _ datagram: Span<UInt8>, on socket: SocketID, from remote: Address, to local: Address,
    at now: Instant
  ) {
    counters.datagramsReceived &+= 1
    counters.bytesReceived &+= UInt64(datagram.count)
    let source = DatagramSource(socket: socket, remote: remote, local: local)
    guard socketIsOpen(socket) else {
      counters.drop(.noSession)
      return
    }
    guard datagram.count <= WireFormat.maxDatagram else {
      counters.drop(.truncated)
      return
    }
    // Nobody can be answered there (RFC 768).
    guard remote.port != 0 else {
      counters.drop(.malformed)
      return
    }
    var parser = PacketParser()
    guard let first = parser.nextMessage(datagram, isFirst: true), let session = first.session,
      session != 0
    else { return receiveOther(datagram, source, at: now) }
    guard let slot = route(session, source, at: now) else {
      return strayed(session, datagram, source, at: now)
    }
    heard(slot, at: now)
    if !receiveFreely(first, slot, at: now) {
      receiveMessagePacket(first, datagram, slot, at: now)
    }
    guard !parser.isAtEnd(datagram) || connections[slot].flags.contains(.owesBeat) else { return }
    receiveRest(&parser, datagram, slot, at: now)
  }

  /// Takes in a message of one packet, if nothing has to be asked but what `mayReceiveFreely` does.
  /// False, and nothing has happened, if it is for `receiveMessagePacket`.
  @inline(__always)
  private mutating func receiveFreely(_ packet: Packet, _ slot: Int, at now: Instant) -> Bool {
    guard packet.kind != .reliable, mayReceiveFreely(slot) else { return false }
    let payload = Payload.input(offset: packet.payload.lowerBound, count: packet.payload.count)
    if packet.kind == .oneWay {
      events.append(
        WaitingEvent(slot: UInt32(truncatingIfNeeded: slot), payload: payload, kind: .message))
    } else {
      guard let messageID = packet.messageID else { return false }
      let isTold = receiveFreely(
        isRequest: packet.kind == .request, packet.header.replyID, messageID, payload, slot,
        at: now)
      guard isTold else { return true }
    }
    count(1, bytes: packet.payload.count, slot)
    return true
  }

  /// A datagram that does not begin with a message of one packet and a session.
  private mutating func receiveOther(
    _ datagram: Span<UInt8>, _ source: DatagramSource, at now: Instant
  ) {
    var parser = PacketParser()
    var slot: Int?
    switch parser.next(datagram) {
    case .packet(let packet):
      slot = receiveFirst(packet, datagram, source, at: now)
    case .skip(let reason, let session):
      counters.drop(reason)
      slot = session.flatMap { connStatus.slot($0, in: connections) }
      if let named = slot, !isOn(named, source) { slot = nil }
    case .drop(let reason):
      counters.drop(reason)
    case .end:
      break
    }
    guard let slot else { return }
    receiveRest(&parser, datagram, slot, at: now)
  }

  /// The packets behind the first one, and what their datagram wants as a whole.
  private mutating func receiveRest(
    _ parser: inout PacketParser, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant
  ) {
    while !parser.isAtEnd(datagram), connections[slot].hasSession {
      receiveMessages(&parser, datagram, slot, at: now)
      switch parser.next(datagram) {
      case .packet(let packet): dispatch(packet, datagram, slot, at: now)
      case .skip(let reason, _): drop(reason, slot)
      case .drop(let reason): refuse(reason, slot)
      case .end: break
      }
    }
    if arriving != nil { finishTracked(slot, at: now) }
    if roomWanted > 0 { makeRoomOverUDP(for: slot, at: now) }
    if connections[slot].flags.contains(.owesBeat), connections[slot].hasSession {
      connections[slot].flags.remove(.owesBeat)
      beat(slot, at: now)
    }
  }

  /// A run of messages of one packet each, as far as it goes. What cannot change between them is
  /// looked up once; what needs more than that is left to the general way.
  private mutating func receiveMessages(
    _ parser: inout PacketParser, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant
  ) {
    guard mayReceiveFreely(slot) else { return }
    var event = WaitingEvent(slot: UInt32(truncatingIfNeeded: slot), kind: .message)
    var (messages, bytes) = (0, 0)
    while true {
      if let payload = parser.nextOneWay(datagram) {
        messages &+= 1
        bytes &+= payload.count
        event.payload = .input(offset: payload.lowerBound, count: payload.count)
        events.append(event)
      } else if let packet = parser.nextNumbered(datagram) {
        var next: NumberedPacket? = packet
        while let packet = next {
          let count = packet.payload.count
          let isTold = receiveFreely(
            isRequest: packet.isRequest, packet.replyID, packet.messageID,
            .input(offset: packet.payload.lowerBound, count: count), slot, at: now)
          if isTold {
            messages &+= 1
            bytes &+= count
          }
          next = parser.nextNumbered(datagram)
        }
      } else if let packet = parser.nextMessage(datagram) {
        receiveOtherMessage(packet, &parser, datagram, slot, at: now)
      } else {
        break
      }
    }
    if messages > 0 { count(messages, bytes: bytes, slot) }
  }

  private mutating func receiveOtherMessage(
    _ packet: Packet, _ parser: inout PacketParser, _ datagram: Span<UInt8>, _ slot: Int,
    at now: Instant
  ) {
    guard packet.kind != .reliable else {
      return receiveReliables(packet, &parser, datagram, slot, at: now)
    }
    receiveMessage(
      packet.kind, packet.header, messageID: packet.messageID,
      payload: .input(offset: packet.payload.lowerBound, count: packet.payload.count), slot,
      isTracked: arriving != nil, at: now)
  }

  /// Whether any message of a connection is taken, whatever its size and number.
  private func mayReceiveFreely(_ slot: Int) -> Bool {
    fullReceivers == 0 && !keepsMessages && connections[slot].phase == .open
      && !connections[slot].flags.contains(.limitsMessages)
  }

  /// The packet that names the session. Returns the connection to which the rest of the datagram
  /// belongs.
  private mutating func receiveFirst(
    _ packet: Packet, _ datagram: Span<UInt8>, _ source: DatagramSource, at now: Instant
  ) -> Int? {
    if packet.kind == .hello {
      guard packet.session == 0,
        let hello = Introduction(datagram, packet.payload, atLeast: Introduction.helloSize),
        let cookie = Cookie(datagram, at: packet.payload.lowerBound + Introduction.acceptSize)
      else {
        counters.drop(packet.session == 0 ? .short : .malformed)
        return nil
      }
      receiveHello(hello, cookie, source, at: now)
      return nil
    }
    guard let session = packet.session, session != 0 else {
      guard let slot = implicitPeer(packet.kind, source, at: now) else { return nil }
      dispatch(packet, datagram, slot, at: now)
      return slot
    }
    if packet.kind == .close {
      receiveClose(packet, session: session, source, at: now)
      return nil
    }
    if packet.kind == .accept {
      receiveAccept(packet, datagram, session: session, source, at: now)
      return nil
    }
    if packet.kind == .cookie {
      receiveCookie(packet, datagram, session: session, source, at: now)
      return nil
    }
    guard let slot = route(session, source, at: now) else {
      strayed(session, datagram, source, at: now)
      return nil
    }
    heard(slot, at: now)
    guard packet.kind != .datagramNumber else {
      return beginTracked(packet, datagram, slot) ? slot : nil
    }
    dispatch(packet, datagram, slot, at: now)
    return slot
  }

  /// The open connection that a session id names, if the packet came on its path. Everything else
  /// is dropped here, and told to its sender if nobody knows the session.
  private mutating func route(
    _ session: UInt64, _ source: DatagramSource, at now: Instant
  ) -> Int? {
    if let slot = connStatus.slot(session, in: connections) {
      guard isOn(slot, source) else {
        counters.drop(.wrongPath)
        return nil
      }
      return slot
    }
    if let pending = pendingHellos.slot(session: session) {
      guard pendingHellos[pending].socket == source.socket,
        pendingHellos[pending].remote == source.remote
      else {
        counters.drop(.wrongPath)
        return nil
      }
      if let slot = confirm(pending, at: now) { return slot }
    } else if let stone = tombstones.slot(session: session) {
      counters.drop(.tombstone)
      let reason = tombstones[stone].reason
      let peerSession = tombstones[stone].peerSession
      answerStranger(.close(reason), session: peerSession, source, at: now)
      return nil
    }
    counters.drop(.unknownSession)
    if isSteeredHere(session, source) {
      answerStranger(.close(.unknownSession), session: session, source, at: now)
    }
    return nil
  }

  /// Whether a session could be one of ours: on a shared port others may know what we do not, and
  /// for a moment while one of them leaves, we get what is theirs.
  private func isSteeredHere(_ session: UInt64, _ source: DatagramSource) -> Bool {
    guard let owner = owner(source.socket), let state = connections[owner].listenerState,
      state.steering != 0
    else { return true }
    return session >> 56 == UInt64(state.steering)
  }

  /// Whether a packet came to the socket and from the address of its connection.
  @inline(__always)
  func isOn(_ slot: Int, _ source: DatagramSource) -> Bool {
    connections[slot].socket == source.socket
      && (connections[slot].remote == source.remote || connections[slot].role == .client)
  }

  private mutating func dispatch(
    _ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant
  ) {
    switch packet.kind {
    case .oneWay, .request, .reply, .reliable:
      receiveMessagePacket(packet, datagram, slot, at: now)
    case .heartbeat:
      counters.heartbeatsReceived &+= 1
    case .close:
      closedByPeer(slot, packet.header.closeReason, at: now)
    case .pathChallenge:
      guard let token = datagram.bigEndian(UInt64.self, at: packet.payload.lowerBound) else {
        counters.drop(.short)
        return
      }
      connections[slot].flags.remove(.owesBeat)
      sendControl(
        .pathResponse(token), session: connections[slot].sendSession, slot,
        room: SocketState.answerMark)
    case .pathResponse:
      let token = datagram.bigEndian(UInt64.self, at: packet.payload.lowerBound)
      receivePathResponse(token, slot, at: now)
    case .hello, .accept, .cookie:
      // Solitary, so the first of their datagrams, and handled there.
      counters.drop(.malformed)
    case .ack:
      receiveAck(packet, datagram, slot, at: now)
    case .datagramNumber:
      // Only the first of a datagram.
      refuse(.malformed, slot)
    }
  }

  /// A packet that carries a message or a part of one.
  private mutating func receiveMessagePacket(
    _ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant
  ) {
    let count = packet.payload.count
    guard connections[slot].phase == .open else { return refuse(.ended, slot) }
    guard !connections[slot].flags.contains(.limitsMessages) || count <= ownLargest(slot) else {
      return drop(.tooBig, slot)
    }
    if packet.kind == .reliable {
      receiveReliable(packet, datagram, slot, at: now)
    } else if packet.header.numPackets > 1 {
      receiveFragment(packet, datagram, slot, at: now)
    } else {
      guard takesMessages(slot) else { return refuse(.receiveMark, slot) }
      receiveMessage(
        packet.kind, packet.header, messageID: packet.messageID,
        payload: .input(offset: packet.payload.lowerBound, count: count), slot,
        isTracked: arriving != nil, at: now)
    }
  }

  private mutating func receiveAccept(
    _ packet: Packet, _ datagram: Span<UInt8>, session: UInt64, _ source: DatagramSource,
    at now: Instant
  ) {
    guard let accept = Introduction(datagram, packet.payload, atLeast: Introduction.acceptSize)
    else {
      counters.drop(.short)
      return
    }
    guard let slot = helloing(session, source) else {
      counters.drop(.staleAccept)
      return
    }
    accepted(slot, by: accept, at: now)
  }

  private mutating func receiveCookie(
    _ packet: Packet, _ datagram: Span<UInt8>, session: UInt64, _ source: DatagramSource,
    at now: Instant
  ) {
    guard packet.payload.count >= Cookie.size,
      let cookie = Cookie(datagram, at: packet.payload.lowerBound)
    else {
      counters.drop(.short)
      return
    }
    guard let slot = helloing(session, source) else {
      counters.drop(.staleAccept)
      return
    }
    challenged(slot, cookie, at: now)
  }

  /// The client that waits for the answer to its hello, if that is its session and its socket.
  private func helloing(_ session: UInt64, _ source: DatagramSource) -> Int? {
    guard let slot = owner(source.socket), connections[slot].role == .client,
      connections[slot].phase == .helloing, connections[slot].session == session
    else { return nil }
    return slot
  }

  // MARK: Close

  private mutating func receiveClose(
    _ packet: Packet, session: UInt64, _ source: DatagramSource, at now: Instant
  ) {
    let reason = packet.header.closeReason
    if reason == .unknownSession {
      receiveUnknownSession(session, source, at: now)
    } else if let slot = connStatus.slot(session, in: connections), isOn(slot, source) {
      closedByPeer(slot, reason, at: now)
    } else if let slot = helloing(session, source) {
      refused(slot, reason, at: now)
    } else if let stone = tombstones.slot(session: session) {
      tombstoneAnswered(stone)
    } else if let pending = pendingHellos.slot(session: session),
      pendingHellos[pending].remote == source.remote
    {
      removePendingHello(pending)
    } else {
      counters.drop(.staleClose)
    }
  }

  /// The peer does not know the id that we send with: it was restarted, or has given us up.
  private mutating func receiveUnknownSession(
    _ session: UInt64, _ source: DatagramSource, at now: Instant
  ) {
    let candidate = owner(source.socket).flatMap { connections[$0].role == .client ? $0 : nil }
    let slot = candidate ?? bySendSession.slot(session, in: connections)
    guard let slot, connections[slot].hasSession, connections[slot].peerSession == session,
      isOn(slot, source)
    else {
      counters.drop(.staleClose)
      return
    }
    lose(slot, .unknownSession, at: now)
  }
}

/// A datagram that wants an acknowledgement, while its packets are handled.
struct ArrivingDatagram {
  var number: UInt32
  /// Something in it found no room: it is not acknowledged, so that it comes again.
  var isRefused = false
}

/// What comes over UDP in more than one packet or wants an acknowledgement (notes.md 6).
extension Endpoint {
  // MARK: Numbered datagrams

  /// The number at the front of a datagram. False if the rest of it is a copy, or the number cannot
  /// be read.
  mutating func beginTracked(_ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int) -> Bool {
    guard let number = datagram.bigEndian(UInt32.self, at: packet.payload.lowerBound),
      packet.payload.count >= WireFormat.datagramNumberSize, packet.session != nil
    else {
      drop(.short, slot)
      return false
    }
    guard traffic(slot).received?.contains(number) != true else {
      drop(.duplicate, slot)
      return false
    }
    arriving = ArrivingDatagram(number: number)
    return true
  }

  /// Every packet of a numbered datagram was handled: it is acknowledged with the turn, unless
  /// something in it was refused.
  mutating func finishTracked(_ slot: Int, at now: Instant) {
    guard let datagram = arriving else { return }
    arriving = nil
    guard !datagram.isRefused, connections[slot].hasSession else { return }
    let traffic = traffic(slot)
    if traffic.received == nil { traffic.received = ReceivedNumbers() }
    guard traffic.received?.insert(datagram.number, at: now) == true else { return }
    trackedReceived &+= 1
    makeReady(slot)
  }

  /// What is at hand is not taken: its datagram comes again.
  mutating func refuse(_ reason: DropReason, _ slot: Int) {
    drop(reason, slot)
    arriving?.isRefused = true
  }

  // MARK: Acknowledgements of ours

  /// Puts the ack that is owed into a datagram, if that has room for all of it: half an ack would
  /// make the peer take for lost what the rest names.
  mutating func append(
    owedAckOf traffic: Traffic, to builder: inout DatagramBuilder, _ session: UInt64?,
    at now: Instant
  ) {
    guard traffic.received?.owesAck == true, builder.room >= AckBody.leastSize,
      let ranges = traffic.received?.rangesToTell,
      (builder.room - AckBody.leastSize) / AckBody.pairSize >= ranges - 1,
      let ack = traffic.received?.takeAck(at: now, into: &ackRanges)
    else { return }
    let units = ack.delay.nanoseconds / WireFormat.ackDelayUnit
    let body = AckBody(
      largest: ack.largest, delay: UInt16(clamping: units), ranges: ackRanges)
    _ = builder.append(ack: body, session: session)
  }

  /// Puts the ack that is owed behind what the open datagram has.
  mutating func appendOwedAck(_ slot: Int, _ traffic: Traffic, at now: Instant) {
    guard traffic.received?.owesAck == true, var builder = traffic.builder.take() else { return }
    append(owedAckOf: traffic, to: &builder, connections[slot].sendSession, at: now)
    traffic.builder = builder
  }

  /// A datagram that has nothing yet but the ack that is owed; nil if none is.
  mutating func beginAckAlone(_ slot: Int, _ traffic: Traffic, at now: Instant) -> DatagramBuilder?
  {
    guard traffic.received?.owesAck == true, !traffic.closeIsPacked else { return nil }
    var builder = DatagramBuilder(buffer: takeBuffer())
    append(owedAckOf: traffic, to: &builder, connections[slot].sendSession, at: now)
    guard builder.isEmpty else { return builder }
    giveBack(builder.seal())
    return nil
  }

  // MARK: Reliable messages

  /// Reliable messages of one packet each, from `first` on, as far as each is the next of its
  /// channel; the one after them goes the general way. Any of them may be taken.
  mutating func receiveReliables(
    _ first: Packet, _ parser: inout PacketParser, _ datagram: Span<UInt8>, _ slot: Int,
    at now: Instant
  ) {
    guard arriving != nil, let traffic = connections[slot].traffic, traffic.inbox != nil else {
      return receiveReliable(first, datagram, slot, at: now)
    }
    var event = WaitingEvent(slot: UInt32(truncatingIfNeeded: slot), kind: .message)
    var (messages, bytes) = (0, 0)
    var next: Packet? = first
    while let packet = next, let place = packet.place, traffic.inbox?.pass(place) == true {
      messages &+= 1
      bytes &+= packet.payload.count
      event.payload = .input(offset: packet.payload.lowerBound, count: packet.payload.count)
      events.append(event)
      next = parser.nextMessage(datagram)
    }
    if messages > 0 { count(messages, bytes: bytes, slot) }
    guard let next else { return }
    if next.kind == .reliable {
      receiveReliable(next, datagram, slot, at: now)
    } else {
      receiveMessage(
        next.kind, next.header, messageID: next.messageID,
        payload: .input(offset: next.payload.lowerBound, count: next.payload.count), slot,
        isTracked: true, at: now)
    }
  }

  /// A packet of a reliable message.
  mutating func receiveReliable(
    _ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant
  ) {
    guard let place = packet.place, arriving != nil else {
      drop(.malformed, slot)
      return
    }
    let traffic = traffic(slot)
    if traffic.inbox == nil {
      traffic.inbox = ChannelInbox(firstPlace: configuration.firstNumber)
    }
    let payload = Payload.input(
      offset: packet.payload.lowerBound, count: packet.payload.count)
    // Mostly it is the next of its channel, and a packet is all of it.
    if packet.header.numPackets == 1, fullReceivers == 0, traffic.inbox?.pass(place) == true {
      return tell(.message, slot, payload)
    }
    switch traffic.inbox?.check(place) ?? .refused {
    case .duplicate: return drop(.duplicate, slot)
    case .refused: return refuse(.memory, slot)
    case .fresh: break
    }
    guard mayTake(slot, traffic, at: now) else { return }
    if packet.header.numPackets > 1 {
      guard let bytes = assemble(.reliable, packet, datagram, slot, traffic, at: now) else {
        return
      }
      arrived(place, own(bytes), datagram, slot, traffic, at: now)
      giveBackWhole()
    } else {
      arrived(place, payload, datagram, slot, traffic, at: now)
    }
  }

  /// Whether the program takes more; if not, what is at hand is refused. The peer does its part
  /// then, so nothing that waits of it grows old.
  private mutating func mayTake(_ slot: Int, _ traffic: Traffic, at now: Instant) -> Bool {
    guard !takesMessages(slot) else { return true }
    traffic.refusedAt = now
    refuse(.receiveMark, slot)
    return false
  }

  /// A reliable message is complete: it is delivered, or kept until those before it are there.
  private mutating func arrived(
    _ place: ChannelPlace, _ payload: Payload, _ datagram: Span<UInt8>, _ slot: Int,
    _ traffic: Traffic, at now: Instant
  ) {
    if traffic.inbox?.arrived(place) == true {
      tell(.message, slot, payload)
      while let next = traffic.inbox?.next(place.channel) {
        tell(.message, slot, own(next))
      }
    } else {
      keep(place, payload, datagram, slot, traffic, at: now)
    }
    hold(traffic)
  }

  private mutating func keep(
    _ place: ChannelPlace, _ payload: Payload, _ datagram: Span<UInt8>, _ slot: Int,
    _ traffic: Traffic, at now: Instant
  ) {
    guard payload.place != .owned else {
      traffic.inbox?.keep(place, takeWhole())
      return
    }
    traffic.partCame(payload.count, at: now)
    let cost = payload.count + ChannelInbox.overhead
    let (own, all) = (ownRoom(traffic), roomOverUDP)
    guard cost <= min(own, all) else {
      if cost <= own { wantRoom(cost) }
      return refuse(.memory, slot)
    }
    traffic.inbox?.keep(place, [UInt8](copying: datagram.extracting(payload.range)))
  }

  // MARK: Fragments

  /// A packet of a one-way message, request or reply of several packets.
  mutating func receiveFragment(
    _ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int, at now: Instant
  ) {
    guard let messageID = packet.messageID else { return drop(.malformed, slot) }
    let traffic = traffic(slot)
    switch packet.kind {
    case .request:
      guard packet.header.replyID != 0 else { return drop(.malformed, slot) }
      // While one comes, so many ids may follow it that the window would call it old.
      let key = FragmentKey(kind: .request, messageID: messageID)
      guard
        traffic.reassembly?.contains(key) == true
          || !traffic.requestWindow.contains(messageID)
      else { return drop(.duplicate, slot) }
    case .reply:
      guard let get = waitingGet(packet.header.replyID, messageID, traffic) else {
        return drop(.staleReply, slot)
      }
      gets[get].hasPartOfReply = true
    default:
      break
    }
    guard mayTake(slot, traffic, at: now) else { return }
    guard let bytes = assemble(packet.kind, packet, datagram, slot, traffic, at: now) else {
      return
    }
    hold(traffic)
    receiveMessage(
      packet.kind, packet.header, messageID: messageID, payload: own(bytes), slot,
      isTracked: true, at: now)
    giveBackWhole()
  }

  /// Adds a fragment to its message; the bytes of the message if that is complete.
  private mutating func assemble(
    _ kind: PacketKind, _ packet: Packet, _ datagram: Span<UInt8>, _ slot: Int,
    _ traffic: Traffic, at now: Instant
  ) -> [UInt8]? {
    guard let messageID = packet.messageID else { return nil }
    if traffic.reassembly == nil { traffic.reassembly = Reassembly() }
    traffic.partCame(packet.payload.count, at: now)
    let (own, all) = (ownRoom(traffic), roomOverUDP)
    let result = traffic.reassembly?.add(
      FragmentKey(kind: kind, messageID: messageID), replyID: packet.header.replyID,
      numPackets: packet.header.numPackets, packetID: packet.header.packetID,
      payload: datagram.extracting(packet.payload), largest: traffic.largest,
      allowance: max(min(own, all), 0),
      isDeliveredAtOnce: packet.place.map { traffic.inbox?.isNext($0) == true } ?? true,
      buffers: &largeBuffers, at: now)
    let freed = traffic.reassembly?.takeFreed() ?? 0
    if freed > 0 { drop(.incomplete, slot, count: UInt64(freed)) }
    let cost = packet.payload.count + Reassembly.messageOverhead + Reassembly.pieceOverhead
    if cost > all, cost <= own, freed > 0 || result?.isForRoom == true { wantRoom(cost) }
    hold(traffic)
    // What is reliable does not grow old, unless nobody else visits the connection.
    if traffic.reassemblyTimer == .none,
      kind != .reliable || connections[slot].flags.contains(.onDemand)
    {
      armReassembly(slot, traffic)
    }
    switch result {
    case .complete(let bytes): return bytes
    case .incomplete, nil: break
    case .duplicate: drop(.duplicate, slot)
    case .drop(let reason): drop(reason, slot)
    case .refused: refuse(.memory, slot)
    }
    return nil
  }

  private mutating func armReassembly(_ slot: Int, _ traffic: Traffic) {
    guard traffic.reassemblyTimer == .none else { return }
    // What is refused because the program is slow comes again: nothing grows old meanwhile.
    var due = traffic.reassembly?.nextExpiry.map {
      max($0, traffic.refusedAt + Reassembly.lifetime)
    }
    if connections[slot].flags.contains(.onDemand), let upkeep = upkeepDue(slot, traffic) {
      due = min(due ?? upkeep, upkeep)
    }
    guard let due else { return }
    traffic.reassemblyTimer = timers.schedule(.reassembly, slot, at: due)
  }

  /// When a connection that nobody visits is to be looked at for what it holds; see `tidy`.
  private func upkeepDue(_ slot: Int, _ traffic: Traffic) -> Instant? {
    guard let progress = traffic.reassembly?.oldestReliableProgress,
      connections[slot].phase == .open
    else { return nil }
    return max(progress, traffic.refusedAt) + Endpoint.patience(options(slot))
  }

  mutating func reassemblyTimer(_ slot: Int, at now: Instant) {
    guard let traffic = connections[slot].traffic else { return }
    traffic.reassemblyTimer = .none
    if now.since(traffic.refusedAt) >= Reassembly.lifetime {
      drop(.incomplete, slot, count: UInt64(traffic.reassembly?.expire(at: now) ?? 0))
      hold(traffic)
    }
    if connections[slot].flags.contains(.onDemand) {
      guard tidy(slot, traffic, options(slot), at: now) else { return }
    }
    armReassembly(slot, traffic)
  }
}

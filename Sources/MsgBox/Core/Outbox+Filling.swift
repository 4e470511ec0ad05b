/// Which packets go into a datagram.
extension Outbox {
  /// Puts packets into a datagram as long as they fit: first what was lost, then what was not sent
  /// before, the lanes in turn.
  func fill(_ builder: inout DatagramBuilder, session: UInt64?, at now: Instant) -> Filling {
    var filling = Filling()
    if stashed != nil || recovery.hasLost {
      filling = fillWithLost(&builder, session)
      if filling.hasMore { return filling }
    }
    while let entry = nextUnsent(at: now) {
      let slot = entry.slot
      let packet = pool.messages[slot].nextPacket
      let lane = pool.messages[slot].lane
      // One that is to be alone begins a datagram, and nothing follows it.
      let isAlone = pool.messages[slot].options.isAlone
      guard !(isAlone && filling.hasAny), append(slot, packet, to: &builder, session) else {
        filling.hasMore = true
        return filling
      }
      if pool.messages[slot].sendNext() { begin(entry, lane) }
      recovery.add(FrameRef(message: entry.number, packet: UInt16(truncatingIfNeeded: packet)))
      turn = lane + 1
      filling.hasAny = true
      if packet + 1 == pool.messages[slot].packets {
        popUnsent(lane)
      } else if builder.room == 0 {
        // The rest of the message waits for other datagrams: no need to look for more.
        filling.hasMore = true
        return filling
      }
      if isAlone {
        filling.hasMore = hasWork
        return filling
      }
    }
    return filling
  }

  private func fillWithLost(_ builder: inout DatagramBuilder, _ session: UInt64?) -> Filling {
    var filling = Filling()
    while let frame = stashed ?? recovery.takeLost() {
      stashed = nil
      let packet = Int(frame.packet)
      guard let slot = slot(frame.message), pool.messages[slot].state == .begun,
        !pool.messages[slot].isAcknowledged(packet)
      else { continue }
      guard append(slot, packet, to: &builder, session) else {
        stashed = frame
        filling.hasMore = true
        return filling
      }
      recovery.add(frame)
      resent &+= 1
      filling.hasAny = true
    }
    return filling
  }

  private func append(
    _ slot: Int, _ packet: Int, to builder: inout DatagramBuilder, _ session: UInt64?
  ) -> Bool {
    var head = pool.messages[slot].head
    head.numPackets = UInt16(truncatingIfNeeded: pool.messages[slot].packets)
    head.packetID = UInt16(truncatingIfNeeded: packet)
    let range = pool.messages[slot].range(of: packet)
    let bytes = pool.messages[slot].payload
    return builder.append(head, session: session, payload: bytes.span.extracting(range))
  }

  private func popUnsent(_ lane: Int) {
    lanes[lane].unsent.removeFirst()
    unsentCount -= 1
  }

  /// The message whose next packet is to be sent for the first time. If it has not begun, it has
  /// the place that it gets when it does.
  private func nextUnsent(at now: Instant) -> Entry? {
    guard unsentCount > 0 else { return nil }
    var index = turn < lanes.count ? turn : 0
    for _ in 0..<lanes.count {
      if let entry = nextUnsent(of: index, at: now) { return entry }
      index = index + 1 < lanes.count ? index + 1 : 0
    }
    return nil
  }

  private func nextUnsent(of index: Int, at now: Instant) -> Entry? {
    while let number = lanes[index].unsent.first {
      guard let slot = slot(number), pool.messages[slot].state != .done else {
        popUnsent(index)
        continue
      }
      let entry = Entry(number: number, slot: slot)
      if pool.messages[slot].state == .begun { return entry }
      if now > pool.messages[slot].deadline {
        popUnsent(index)
        finish(entry, .expired)
        continue
      }
      guard mayBegin(entry, index) else { return nil }
      if let channel = lanes[index].channel {
        pool.messages[slot].head.place = ChannelPlace(
          channel: channel, place: lanes[index].nextPlace)
      }
      return entry
    }
    return nil
  }
}

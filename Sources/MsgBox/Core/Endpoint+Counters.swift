/// What a connection counts, and what is known of its path.
extension Endpoint {
  /// What a connection counts, also while its end is being told; nil for a bad handle. What TCP
  /// measures only the system knows.
  package func counters(of handle: Handle, at now: Instant) -> ConnectionCounters? {
    guard let slot = slot(handle) else { return nil }
    var result = ConnectionCounters()
    if connections[slot].role != .listener, connections[slot].lastHeard.nanoseconds != 0 {
      result.silence = now.since(connections[slot].lastHeard)
    }
    result.messagesReceived = connections[slot].messagesReceived
    result.bytesReceived = connections[slot].bytesReceived
    guard let traffic = connections[slot].traffic else {
      if let time = connections[slot].roundTrip { result.setRoundTrip(time, time / 2, least: time) }
      return result
    }
    result.messagesSent = traffic.messagesSent
    result.bytesSent = traffic.bytesSent
    result.queuedMessages = traffic.queuedMessages
    result.queuedBytes = traffic.queuedBytes
    result.getsWaiting = traffic.waitingGets.count
    result.resent = traffic.resent
    result.drops = Counters.sum(of: traffic.drops)
    if connections[slot].transport == .udp { result.add(traffic) }
    return result
  }

  /// Takes in a round trip that a challenge measured.
  mutating func sampleRoundTrip(_ slot: Int, _ time: Interval) {
    if let traffic = connections[slot].traffic {
      traffic.roundTrip.sample(time)
      traffic.outbox?.recovery.sampleRoundTrip(time)
    } else {
      connections[slot].roundTrip = time
    }
  }
}

extension ConnectionCounters {
  /// What is known of a path of UDP.
  fileprivate mutating func add(_ traffic: Traffic) {
    setRoundTrip(traffic)
    guard let outbox = traffic.outbox else { return }
    trackedSent = outbox.recovery.sentCount
    trackedLost = outbox.recovery.lostCount
    resent &+= outbox.resent
    congestionWindow = outbox.recovery.window
    bytesInFlight = outbox.recovery.bytesInFlight
  }

  /// By acknowledgements, else by the handshake and by challenges, else by replies, which also took
  /// the peer's program some time.
  private mutating func setRoundTrip(_ traffic: Traffic) {
    if let known = traffic.outbox?.recovery.roundTrip, known.isSampled {
      setRoundTrip(known.smoothed, known.variation, least: known.least)
    } else if traffic.roundTrip.isSampled {
      let known = traffic.roundTrip
      setRoundTrip(known.smoothed, known.variation, least: known.least)
    } else if let replies = traffic.replyTimer.roundTrip {
      setRoundTrip(replies.smoothed, replies.variation, least: replies.least)
    }
  }

  fileprivate mutating func setRoundTrip(
    _ smoothed: Interval, _ variation: Interval, least: Interval
  ) {
    // Zero says that nothing is known.
    roundTrip = max(smoothed, Interval(nanoseconds: 1))
    roundTripVariation = variation
    leastRoundTrip = max(least, Interval(nanoseconds: 1))
  }
}

/// What is counted of one connection.
extension Endpoint {
  /// What a connection counts, and what it holds at a moment; nil for a bad handle.
  package func counters(of handle: Handle, at now: Instant) -> ConnectionCounters? {
    guard let slot = slot(handle) else { return nil }
    var result = ConnectionCounters()
    let connection = connections[slot]
    if connection.role != .listener, connection.lastHeard.nanoseconds != 0 {
      result.silence = now.since(connection.lastHeard)
    }
    if let traffic = connection.traffic { result.add(traffic) }
    return result
  }
}

extension ConnectionCounters {
  fileprivate mutating func add(_ traffic: Traffic) {
    messagesReceived = traffic.messagesReceived
    messagesSent = traffic.messagesSent
    bytesReceived = traffic.bytesReceived
    bytesSent = traffic.bytesSent
    queuedMessages = traffic.queuedMessages
    queuedBytes = traffic.queuedBytes
    getsWaiting = traffic.getsByReplyID.count
    resent = traffic.resent
    for index in traffic.drops.indices { drops &+= traffic.drops[index] }
    addRoundTrip(traffic)
    guard let outbox = traffic.outbox else { return }
    resent &+= outbox.resent
    trackedSent = outbox.recovery.sentCount
    trackedLost = outbox.recovery.lostCount
    congestionWindow = outbox.recovery.window
    bytesInFlight = outbox.recovery.bytesInFlight
  }

  /// Acknowledgements measure best, replies after them: they may take the program's time in. The
  /// handshake is better than nothing.
  private mutating func addRoundTrip(_ traffic: Traffic) {
    if let measured = traffic.outbox?.recovery.roundTrip, measured.isSampled {
      roundTrip = measured.smoothed
      roundTripVariation = measured.variation
      leastRoundTrip = measured.least
    } else if let measured = traffic.replyTimer.roundTrip {
      roundTrip = measured.smoothed
      roundTripVariation = measured.variation
      leastRoundTrip = measured.least
    } else if let time = traffic.handshakeTime {
      roundTrip = time
      roundTripVariation = time / 2
      leastRoundTrip = time
    }
  }
}

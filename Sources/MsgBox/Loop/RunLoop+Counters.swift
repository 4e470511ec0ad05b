extension RunLoop {
  /// What a connection counts; nil for a bad handle. The core cannot know what TCP measures in the
  /// system, so that comes from its socket.
  package func counters(of handle: Handle) -> ConnectionCounters? {
    guard var counters = endpoint.counters(of: handle, at: now) else { return nil }
    guard counters.roundTrip.nanoseconds == 0,
      endpoint.address(of: handle)?.transport == .tcp,
      let id = endpoint.socket(of: handle), let socket = sockets[id], socket.isOpen,
      let measures = TCPSocket.measures(of: socket.fd)
    else { return counters }
    counters.roundTrip = measures.roundTrip
    counters.roundTripVariation = measures.variation
    counters.leastRoundTrip = measures.leastRoundTrip
    counters.resent &+= measures.resent
    return counters
  }
}

// The names of C:
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMsgBox

/// `msg_box_statistics` of `msgbox.h`.
@_cdecl("msg_box_statistics") @implementation
public func msg_box_statistics(
  _ box: msg_Box, _ statistics: UnsafeMutablePointer<msg_Statistics>!
) -> Int32 {
  answer(box.id) { box throws(MessageError) in
    var copy = msg_Statistics(box.statistics.counters, box.statistics.census)
    try unsafe fill(UnsafeMutableRawPointer(statistics), from: &copy)
  }
}

/// `msg_box_drops` of `msgbox.h`.
@_cdecl("msg_box_drops") @implementation
public func msg_box_drops(_ box: msg_Box, _ reason: UInt32) -> UInt64 {
  guard let box = try? findBox(box.id), let reason = DropReason(reason) else { return 0 }
  return box.statistics.counters.dropped(reason)
}

/// `msg_conn_drops` of `msgbox.h`.
@_cdecl("msg_conn_drops") @implementation
public func msg_conn_drops(_ conn: msg_Conn, _ reason: UInt32) -> UInt64 {
  guard let box = try? findBox(conn.id), let reason = DropReason(reason) else { return 0 }
  return box.loop.endpoint.dropped(reason, of: Handle(rawValue: conn.id))
}

extension DropReason {
  /// The reason of that number; nil if there is none.
  fileprivate init?(_ number: UInt32) {
    guard let number = UInt8(exactly: number) else { return nil }
    self.init(rawValue: number)
  }
}

/// Copies a structure that begins with its size to a caller whose version of it may be shorter or
/// longer.
///
/// - Throws: `invalidArgument` for NULL, and a size that does not hold even itself.
func fill<Structure>(
  _ target: UnsafeMutableRawPointer?, from source: inout Structure
) throws(MessageError) {
  guard let target = unsafe target, case let size = unsafe target.load(as: Int.self),
    size >= MemoryLayout<Int>.size
  else { throw MessageError(.invalidArgument) }
  let known = min(size, MemoryLayout<Structure>.size)
  unsafe withUnsafeBytes(of: &source) { bytes in
    unsafe target.copyMemory(from: bytes.baseAddress ?? UnsafeRawPointer(target), byteCount: known)
  }
  unsafe target.storeBytes(of: known, as: Int.self)
}

extension msg_Statistics {
  fileprivate init(_ counters: Counters, _ census: Census) {
    self.init(
      size: 0,
      datagrams_received: counters.datagramsReceived, datagrams_sent: counters.datagramsSent,
      bytes_received: counters.bytesReceived, bytes_sent: counters.bytesSent,
      messages_received: counters.messagesReceived, messages_sent: counters.messagesSent,
      heartbeats_received: counters.heartbeatsReceived, heartbeats_sent: counters.heartbeatsSent,
      drops: counters.allDrops,
      connections: UInt64(census.connections), listeners: UInt64(census.listeners),
      pending_hellos: UInt64(census.pendingHellos), tombstones: UInt64(census.tombstones),
      gets_waiting: UInt64(census.getsWaiting), requests_open: UInt64(census.requestsOpen),
      queued_messages: UInt64(census.queuedMessages), queued_bytes: UInt64(census.queuedBytes),
      incomplete_bytes: UInt64(census.incompleteBytes))
  }
}

extension msg_ConnStatistics {
  init(_ counters: ConnectionCounters) {
    self.init(
      size: 0,
      messages_received: counters.messagesReceived, messages_sent: counters.messagesSent,
      bytes_received: counters.bytesReceived, bytes_sent: counters.bytesSent,
      queued_messages: UInt64(counters.queuedMessages), queued_bytes: UInt64(counters.queuedBytes),
      gets_waiting: UInt64(counters.getsWaiting),
      silence_ms: counters.silence.nanoseconds / 1_000_000,
      rtt_us: counters.roundTrip.nanoseconds / 1000,
      rtt_variation_us: counters.roundTripVariation.nanoseconds / 1000,
      least_rtt_us: counters.leastRoundTrip.nanoseconds / 1000,
      tracked_sent: counters.trackedSent, tracked_lost: counters.trackedLost,
      resent: counters.resent,
      congestion_window: UInt64(counters.congestionWindow),
      bytes_in_flight: UInt64(counters.bytesInFlight), drops: counters.drops)
  }
}

// The names of C:
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMsgBox

// The calls on connections and listeners but those that send; msgbox.h documents each.

/// `msg_disconnect` of `msgbox.h`.
@_cdecl("msg_disconnect") @implementation
public func msg_disconnect(_ conn: msg_Conn) -> Int32 {
  answer(conn.id) { box throws(MessageError) in
    try box.disconnect(Connection(Handle(rawValue: conn.id)))
  }
}

/// `msg_abort` of `msgbox.h`.
@_cdecl("msg_abort") @implementation
public func msg_abort(_ conn: msg_Conn) -> Int32 {
  answer(conn.id) { box throws(MessageError) in
    try box.abort(Connection(Handle(rawValue: conn.id)))
  }
}

/// `msg_unlisten` of `msgbox.h`.
@_cdecl("msg_unlisten") @implementation
public func msg_unlisten(_ listener: msg_Conn) -> Int32 {
  answer(listener.id) { box throws(MessageError) in
    try box.unlisten(Listener(Handle(rawValue: listener.id)))
  }
}

/// `msg_untaken` of `msgbox.h`.
@_cdecl("msg_untaken") @implementation
public func msg_untaken(_ conn: msg_Conn, _ messages: Int32, _ bytes: Int64) -> Int32 {
  answer(conn.id) { box throws(MessageError) in
    try box.noteUntaken(Int(messages), Int(clamping: bytes), Handle(rawValue: conn.id))
  }
}

/// `msg_set_context` of `msgbox.h`.
@_cdecl("msg_set_context") @implementation
public func msg_set_context(_ conn: msg_Conn, _ context: UnsafeMutableRawPointer!) -> Int32 {
  let word = UInt(bitPattern: context)
  return answer(conn.id) { box throws(MessageError) in
    try box.setContext(word, of: Connection(Handle(rawValue: conn.id)))
  }
}

/// `msg_context` of `msgbox.h`.
@_cdecl("msg_context") @implementation
public func msg_context(_ conn: msg_Conn) -> UnsafeMutableRawPointer! {
  let box = try? findBox(conn.id)
  let word = box?.context(of: Connection(Handle(rawValue: conn.id)))
  return unsafe UnsafeMutableRawPointer(bitPattern: word ?? 0)
}

/// `msg_address` of `msgbox.h`.
@_cdecl("msg_address") @implementation
public func msg_address(
  _ conn: msg_Conn, _ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int
) -> Int32 {
  result(conn.id) { box throws(MessageError) in
    guard let text = box.addressText(of: Handle(rawValue: conn.id)) else {
      throw MessageError(.badHandle)
    }
    guard let buffer = unsafe buffer, capacity > text.count else {
      throw MessageError(.invalidArgument)
    }
    for place in text.indices { unsafe buffer[place] = CChar(bitPattern: text[place]) }
    unsafe buffer[text.count] = 0
    return Int32(truncatingIfNeeded: text.count)
  }
}

/// `msg_local_port` of `msgbox.h`.
@_cdecl("msg_local_port") @implementation
public func msg_local_port(_ conn: msg_Conn) -> Int32 {
  result(conn.id) { box throws(MessageError) in
    guard let port = box.localPort(of: Connection(Handle(rawValue: conn.id))) else {
      throw MessageError(.badHandle)
    }
    return Int32(port)
  }
}

/// `msg_conn_statistics` of `msgbox.h`.
@_cdecl("msg_conn_statistics") @implementation
public func msg_conn_statistics(
  _ conn: msg_Conn, _ statistics: UnsafeMutablePointer<msg_ConnStatistics>!
) -> Int32 {
  answer(conn.id) { box throws(MessageError) in
    guard let found = box.statistics(of: Connection(Handle(rawValue: conn.id))) else {
      throw MessageError(.badHandle)
    }
    var copy = msg_ConnStatistics(found.counters)
    try unsafe fill(UnsafeMutableRawPointer(statistics), from: &copy)
  }
}

import CMsgBox

/// The boxes of one thread: where the C functions look every handle up.
final class ThreadBoxes {
  private var boxes: [UInt32: MessageBox] = [:]
  /// The box that was asked for last: with one box per thread, nothing else is ever looked up.
  private var latest: MessageBox?
  private var defaultNumber: UInt32 = 0

  /// Tells the process that made this from one that was forked from it.
  private let forks = cmsgbox_forks()

  /// Those of the calling thread; nil if it has none. A forked process has none: the sockets and
  /// connections of its parent's boxes are its parent's alone.
  static var current: ThreadBoxes? {
    guard let value = unsafe cmsgbox_tls_get() else { return nil }
    let boxes = unsafe Unmanaged<ThreadBoxes>.fromOpaque(value).takeUnretainedValue()
    return boxes.forks == cmsgbox_forks() ? boxes : nil
  }

  /// Those of the calling thread, which end with it, or with the process if it ends that.
  static var currentOrNew: ThreadBoxes {
    if let current { return current }
    let new = ThreadBoxes()
    unsafe end(cmsgbox_tls_get())
    unsafe cmsgbox_tls_set(Unmanaged.passRetained(new).toOpaque()) { value in
      unsafe ThreadBoxes.end(value)
    }
    cmsgbox_at_exit { ThreadBoxes.endCurrent() }
    return new
  }

  /// Ends the boxes of a thread that ends. Those that a forked process finds here of its parent
  /// are left alone for ever: to end them would send closes for the parent.
  private static func end(_ value: UnsafeMutableRawPointer?) {
    guard let value = unsafe value else { return }
    let reference = unsafe Unmanaged<ThreadBoxes>.fromOpaque(value)
    let boxes = unsafe reference.takeUnretainedValue()
    if boxes.forks == cmsgbox_forks() {
      boxes.closeAll()
    } else if !boxes.boxes.isEmpty {
      return
    }
    unsafe reference.release()
  }

  /// Ends the boxes of the thread that ends the process.
  private static func endCurrent() {
    guard current != nil else { return }
    let value = unsafe cmsgbox_tls_get()
    cmsgbox_tls_set(nil, nil)
    unsafe end(value)
  }

  private func closeAll() {
    for box in boxes.values {
      box.loop.abandonTurn()
      box.close()
    }
  }

  /// Makes a box of this thread.
  func makeBox() throws(MessageError) -> MessageBox {
    let box = try MessageBox()
    boxes[box.number] = box
    latest = box
    return box
  }

  /// The default box, made on first use, and again on the first use after it was destroyed.
  func defaultBox() throws(MessageError) -> MessageBox {
    if defaultNumber != 0, let box = find(defaultNumber) { return box }
    let box = try makeBox()
    defaultNumber = box.number
    return box
  }

  /// The box of that number, if it is this thread's.
  func find(_ number: UInt32) -> MessageBox? {
    if let latest, latest.number == number { return latest }
    guard let box = boxes[number] else { return nil }
    latest = box
    return box
  }

  /// Ends a box; every handle of it is bad from here on.
  func destroy(_ box: MessageBox) {
    boxes[box.number] = nil
    if latest === box { latest = nil }
    box.close()
  }
}

/// The box that a handle of any kind names.
///
/// - Throws: `wrongThread` if it is alive, but another thread's; `badHandle` if it has ended or
///   never was.
func findBox(_ id: UInt64) throws(MessageError) -> MessageBox {
  let number = Handle(rawValue: id).box
  if let box = ThreadBoxes.current?.find(number) { return box }
  throw MessageError(cmsgbox_box_is_registered(number) != 0 ? .wrongThread : .badHandle)
}

/// Does something with the box that `id` names and answers with a status code.
func answer(_ id: UInt64, _ body: (MessageBox) throws(MessageError) -> Void) -> Int32 {
  result(id) { box throws(MessageError) in
    try body(box)
    return Status.ok.rawValue
  }
}

/// Does something with the box that `id` names and answers with its result, or a status code.
func result(_ id: UInt64, _ body: (MessageBox) throws(MessageError) -> Int32) -> Int32 {
  do throws(MessageError) {
    return try body(findBox(id))
  } catch {
    return error.code.number
  }
}

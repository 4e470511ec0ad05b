/// A get of ours that waits for its reply.
struct WaitingGet: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var replyID: UInt16 = 0
  /// Nil towards an implicit peer, whose replies carry none.
  var messageID: UInt32?
  var context: UInt = 0
  var timer = TimerID.none
  var links = SlotLinks()

  static var vacant: WaitingGet { WaitingGet() }
}

/// A request of the peer that our program has not answered yet.
struct OpenRequest: Vacant, Linked {
  var connection = ConnectionRecord.noSlot
  var replyID: UInt16 = 0
  var messageID: UInt32?
  var links = SlotLinks()

  static var vacant: OpenRequest { OpenRequest() }
}

-- Who may see which request, so that anybody's newest page is read from an index however many requests there are.
CREATE TABLE sight (
    viewer TEXT NOT NULL,                    -- p:PERSON or g:GROUP
    number INTEGER NOT NULL,
    PRIMARY KEY (viewer, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_pending_by_asker ON request (asker, number) WHERE state = 'pending';
CREATE INDEX request_granted_by_asker ON request (asker, number) WHERE grant_id IS NOT NULL;
INSERT INTO sight
SELECT 'p:' || asker, number FROM request
UNION SELECT 'g:' || g.value, number FROM request, json_each(groups) g
UNION SELECT 'p:' || d.value, number FROM request, json_each(deciders) d;

-- Makes what Gatepass uses on a MariaDB target: the login `gatepass_admin`, which may call the procedures below and
-- do nothing else; a schema of that name with them and a table of the accounts they made; a locked account that they
-- act as; and the event that ends access by itself where the scheduler is on. Run it as root, again after an update:
--
--   mariadb < mariadb-admin.sql
--   mariadb -e "ALTER USER gatepass_admin@'%' IDENTIFIED BY '…' ACCOUNT UNLOCK"
--
-- and then, for each role that the catalogue's `grants` name, or for each privilege:
--
--   mariadb -e "GRANT orders_reader TO gatepass_admin_owner@localhost WITH ADMIN OPTION"
--   mariadb -e "GRANT SELECT ON orders.* TO gatepass_admin_owner@localhost WITH GRANT OPTION"
--
-- Nothing that was not granted to the owner in this way can be given to anybody. For a second Gatepass on the same
-- server take another name: sed s/gatepass_admin/gatepass_two/g, and s/gatepass\\_admin/gatepass\\_two/g.

-- The procedures keep this mode. Without NO_AUTO_CREATE_USER a GRANT to what was dropped in between would make an
-- account, with no password.
SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_CREATE_USER,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION';
SET NAMES utf8mb4;

CREATE DATABASE IF NOT EXISTS gatepass_admin CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Nobody ever logs in as the owner. UPDATE on mysql.* is what SET DEFAULT ROLE asks for.
CREATE USER IF NOT EXISTS gatepass_admin_owner@localhost IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK;
GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO gatepass_admin_owner@localhost;
GRANT SELECT, UPDATE ON mysql.* TO gatepass_admin_owner@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE, EVENT ON `gatepass\_admin`.* TO gatepass_admin_owner@localhost;

CREATE USER IF NOT EXISTS gatepass_admin@'%' ACCOUNT LOCK;

-- Written before the account is made and deleted after it is gone, so nothing is ever left that stands nowhere.
CREATE TABLE IF NOT EXISTS gatepass_admin.accounts (
    grant_id CHAR(36) NOT NULL PRIMARY KEY,
    scope VARCHAR(64) NOT NULL COMMENT 'the database of the target; several may share this schema',
    account CHAR(29) NOT NULL UNIQUE,
    host VARCHAR(255) NOT NULL,
    until DATETIME(6) NOT NULL COMMENT 'UTC',
    state ENUM('live', 'late', 'cut') NOT NULL COMMENT 'late: ended by the guard, cut: by Gatepass'
) ENGINE = InnoDB;

DELIMITER //

CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.refuse(IN p_state CHAR(5), IN p_text TEXT) SQL SECURITY DEFINER
BEGIN
    SET p_text = LEFT(p_text, 400);
    IF p_state = '45001' THEN
        SIGNAL SQLSTATE '45001' SET MESSAGE_TEXT = p_text;
    END IF;
    SIGNAL SQLSTATE '45002' SET MESSAGE_TEXT = p_text;
END //

-- Tells the account's sessions to end and answers their ids. One that is gone already is no fault.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.end_sessions(IN p_account CHAR(29), OUT p_ended LONGTEXT) SQL SECURITY DEFINER
BEGIN
    DECLARE CONTINUE HANDLER FOR 1094 BEGIN END;
    SET p_ended = '';
    FOR s IN (SELECT id FROM information_schema.processlist WHERE user = p_account) DO
        SET p_ended = CONCAT(p_ended, s.id, ' ');
        KILL HARD CONNECTION s.id;
    END FOR;
END //

CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.drop_account(IN p_account CHAR(29), IN p_host VARCHAR(255)) SQL SECURITY DEFINER
BEGIN
    EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS `', p_account, '`@`', p_host, '`');
    EXECUTE IMMEDIATE CONCAT('DROP ROLE IF EXISTS `', p_account, '_r`');
END //

-- One element of `p_gives` is {"role": …} or {"privileges": …, "schema": …, "table": … or null}.
-- Only one role can be the default, so several are given to a role of the account's own.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.give(IN p_account CHAR(29), IN p_host VARCHAR(255), IN p_gives LONGTEXT) SQL SECURITY DEFINER
BEGIN
    DECLARE v_who VARCHAR(300) DEFAULT CONCAT('`', p_account, '`@`', p_host, '`');
    DECLARE v_to VARCHAR(300) DEFAULT v_who;
    DECLARE v_roles INT DEFAULT JSON_LENGTH(JSON_EXTRACT(p_gives, '$[*].role'));
    DECLARE v_role, v_what, v_schema, v_table, v_default TEXT;
    DECLARE v_n INT DEFAULT 0;
    IF v_roles > 1 THEN
        SET v_to = CONCAT('`', p_account, '_r`');
        EXECUTE IMMEDIATE CONCAT('CREATE ROLE ', v_to);
    END IF;
    WHILE v_n < JSON_LENGTH(p_gives) DO
        SET v_role = JSON_VALUE(p_gives, CONCAT('$[', v_n, '].role'));
        IF v_role IS NOT NULL THEN
            SET v_role = CONCAT('`', REPLACE(v_role, '`', '``'), '`');
            EXECUTE IMMEDIATE CONCAT('GRANT ', v_role, ' TO ', v_to);
            SET v_default = v_role;
        ELSE
            SET v_what = JSON_VALUE(p_gives, CONCAT('$[', v_n, '].privileges'));
            SET v_schema = JSON_VALUE(p_gives, CONCAT('$[', v_n, '].schema'));
            SET v_table = JSON_VALUE(p_gives, CONCAT('$[', v_n, '].table'));
            IF v_what NOT RLIKE '^[A-Za-z]+( [A-Za-z]+)*(, [A-Za-z]+( [A-Za-z]+)*)*$' OR v_schema IS NULL THEN
                CALL gatepass_admin.refuse('45001', 'that is no list of privileges');
            END IF;
            IF v_table IS NULL THEN
                -- Without the backslashes _ and % would stand for anything.
                SET v_schema = REPLACE(REPLACE(REPLACE(v_schema, '\\', '\\\\'), '_', '\\_'), '%', '\\%');
            END IF;
            EXECUTE IMMEDIATE CONCAT('GRANT ', v_what, ' ON `', REPLACE(v_schema, '`', '``'), '`.',
                IF(v_table IS NULL, '*', CONCAT('`', REPLACE(v_table, '`', '``'), '`')), ' TO ', v_who);
        END IF;
        SET v_n = v_n + 1;
    END WHILE;
    IF v_roles > 1 THEN
        EXECUTE IMMEDIATE CONCAT('GRANT ', v_to, ' TO ', v_who);
        SET v_default = v_to;
    END IF;
    IF v_default IS NOT NULL THEN
        EXECUTE IMMEDIATE CONCAT('SET DEFAULT ROLE ', v_default, ' FOR ', v_who);
    END IF;
END //

CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.provision(
    IN p_grant CHAR(36), IN p_scope VARCHAR(64), IN p_account VARCHAR(80), IN p_host VARCHAR(255),
    IN p_hash VARCHAR(80), IN p_sessions INT, IN p_until BIGINT, IN p_gives LONGTEXT)
SQL SECURITY DEFINER
BEGIN
    DECLARE v_until DATETIME(6) DEFAULT '1970-01-01' + INTERVAL p_until MICROSECOND;
    DECLARE v_late BOOL DEFAULT v_until <= UTC_TIMESTAMP(6);
    DECLARE v_missing TEXT;
    DECLARE v_host VARCHAR(255);
    DECLARE v_scope VARCHAR(64);
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
        DO RELEASE_LOCK(CONCAT('gatepass ', LEFT(p_account, 40)));
        RESIGNAL;
    END;

    IF BINARY p_account NOT RLIKE '^gp_[a-z2-7]{26}$' OR BINARY p_hash NOT RLIKE '^[*][0-9A-F]{40}$'
        OR p_host NOT RLIKE '^[0-9A-Za-z.:%_/-]{1,60}$' THEN
        CALL gatepass_admin.refuse('45001', 'that is no account of Gatepass');
    END IF;
    SELECT GROUP_CONCAT(g.role SEPARATOR ', ') INTO v_missing
      FROM JSON_TABLE(p_gives, '$[*]' COLUMNS (role VARCHAR(128) PATH '$.role')) g
     WHERE g.role IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM mysql.user u WHERE u.is_role = 'Y' AND BINARY u.User = BINARY g.role);
    IF v_missing IS NOT NULL THEN
        CALL gatepass_admin.refuse('45001', CONCAT('the target has no role ', v_missing));
    END IF;
    SELECT GROUP_CONCAT(g.role SEPARATOR ', ') INTO v_missing
      FROM JSON_TABLE(p_gives, '$[*]' COLUMNS (role VARCHAR(128) PATH '$.role')) g
     WHERE g.role IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM mysql.roles_mapping m WHERE m.Host = 'localhost' AND m.User = 'gatepass_admin_owner'
           AND BINARY m.Role = BINARY g.role AND m.Admin_option = 'Y');
    IF v_missing IS NOT NULL THEN
        CALL gatepass_admin.refuse('45001', CONCAT('gatepass_admin_owner@localhost lacks WITH ADMIN OPTION for ', v_missing));
    END IF;

    -- Only against itself: removing asks for no lock that a holder could take.
    IF NOT COALESCE(GET_LOCK(CONCAT('gatepass ', p_account), 5), FALSE) THEN
        CALL gatepass_admin.refuse('45002', 'the same account is being made already');
    END IF;
    SELECT host, scope INTO v_host, v_scope FROM gatepass_admin.accounts WHERE grant_id = p_grant AND account = p_account;
    IF v_scope <> p_scope OR (v_scope IS NULL AND EXISTS (SELECT 1 FROM mysql.user WHERE BINARY User = p_account)) THEN
        CALL gatepass_admin.refuse('45002', CONCAT('the target has an account ', p_account, ' that this Gatepass did not make'));
    END IF;
    INSERT INTO gatepass_admin.accounts VALUES (p_grant, p_scope, p_account, p_host, v_until, IF(v_late, 'late', 'live'))
        ON DUPLICATE KEY UPDATE host = p_host, until = v_until, state = IF(v_late, 'late', 'live');
    CALL gatepass_admin.drop_account(p_account, COALESCE(v_host, p_host));
    EXECUTE IMMEDIATE CONCAT('CREATE USER `', p_account, '`@`', p_host, '` IDENTIFIED VIA mysql_native_password USING ''',
        p_hash, ''' WITH MAX_USER_CONNECTIONS ', p_sessions, ' PASSWORD EXPIRE NEVER', IF(v_late, ' ACCOUNT LOCK', ''));
    CALL gatepass_admin.give(p_account, p_host, p_gives);
    IF NOT EXISTS (SELECT 1 FROM gatepass_admin.accounts WHERE grant_id = p_grant AND host = p_host AND state <> 'cut') THEN
        -- Removed meanwhile, for someone who did not wait for this call.
        CALL gatepass_admin.drop_account(p_account, p_host);
        CALL gatepass_admin.refuse('45002', 'it was removed while it was made');
    END IF;
    DO RELEASE_LOCK(CONCAT('gatepass ', p_account));
END //

CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.move_guard(IN p_grant CHAR(36), IN p_scope VARCHAR(64), IN p_until BIGINT) SQL SECURITY DEFINER
BEGIN
    DECLARE v_until DATETIME(6) DEFAULT '1970-01-01' + INTERVAL p_until MICROSECOND;
    DECLARE v_late BOOL DEFAULT v_until <= UTC_TIMESTAMP(6);
    DECLARE v_who VARCHAR(300);
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    SELECT CONCAT('`', account, '`@`', host, '`') INTO v_who FROM gatepass_admin.accounts a
     WHERE grant_id = p_grant AND scope = p_scope AND state <> 'cut'
       AND EXISTS (SELECT 1 FROM mysql.user u WHERE BINARY u.User = BINARY a.account AND u.Host = a.host);
    IF v_who IS NULL THEN
        CALL gatepass_admin.refuse('45002', 'there is no account whose end could be moved');
    END IF;
    UPDATE gatepass_admin.accounts SET until = v_until, state = IF(v_late, 'late', 'live')
     WHERE grant_id = p_grant AND state <> 'cut';
    EXECUTE IMMEDIATE CONCAT('ALTER USER ', v_who, IF(v_late, ' ACCOUNT LOCK', ' ACCOUNT UNLOCK'));
END //

-- What the event does every second: nobody logs in after the end, and nobody stays.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.guard() SQL SECURITY DEFINER
BEGIN
    DECLARE v_ended LONGTEXT;
    DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
    FOR a IN (SELECT grant_id, account, host, state FROM gatepass_admin.accounts WHERE until <= UTC_TIMESTAMP(6)) DO
        -- First the sessions: one may hold a lock that the next statement would wait for.
        CALL gatepass_admin.end_sessions(a.account, v_ended);
        UPDATE gatepass_admin.accounts SET state = 'late'
         WHERE grant_id = a.grant_id AND until <= UTC_TIMESTAMP(6) AND state = 'live';
        IF ROW_COUNT() = 1 THEN
            EXECUTE IMMEDIATE CONCAT('ALTER USER IF EXISTS `', a.account, '`@`', a.host, '` ACCOUNT LOCK');
            IF EXISTS (SELECT 1 FROM gatepass_admin.accounts WHERE grant_id = a.grant_id AND state = 'live') THEN
                -- Its end was moved between the two.
                EXECUTE IMMEDIATE CONCAT('ALTER USER IF EXISTS `', a.account, '`@`', a.host, '` ACCOUNT UNLOCK');
            ELSE
                CALL gatepass_admin.end_sessions(a.account, v_ended);
            END IF;
        END IF;
    END FOR;
END //

-- Ends the sessions, shuts the door, ends those that slipped in. Answers whether the account was known, and the ids of
-- the sessions. Among those are logins that have said who they are and not proved it yet.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.cut(IN p_grant CHAR(36), IN p_scope VARCHAR(64)) SQL SECURITY DEFINER
BEGIN
    DECLARE v_account CHAR(29);
    DECLARE v_host VARCHAR(255);
    DECLARE v_first, v_second LONGTEXT DEFAULT '';
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    SELECT account, host INTO v_account, v_host FROM gatepass_admin.accounts WHERE grant_id = p_grant AND scope = p_scope;
    IF v_account IS NOT NULL THEN
        CALL gatepass_admin.end_sessions(v_account, v_first);
        UPDATE gatepass_admin.accounts SET state = 'cut' WHERE grant_id = p_grant;
        EXECUTE IMMEDIATE CONCAT('ALTER USER IF EXISTS `', v_account, '`@`', v_host, '` ACCOUNT LOCK');
        CALL gatepass_admin.end_sessions(v_account, v_second);
    END IF;
    SELECT v_account IS NOT NULL, CONCAT(v_first, v_second);
END //

-- Ends what is still open. Answers as `cut` does.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.silence(IN p_grant CHAR(36), IN p_scope VARCHAR(64)) SQL SECURITY DEFINER
BEGIN
    DECLARE v_account CHAR(29);
    DECLARE v_ended LONGTEXT DEFAULT '';
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    SELECT account INTO v_account FROM gatepass_admin.accounts WHERE grant_id = p_grant AND scope = p_scope AND state = 'cut';
    IF v_account IS NOT NULL THEN
        CALL gatepass_admin.end_sessions(v_account, v_ended);
    END IF;
    SELECT v_account IS NOT NULL, v_ended;
END //

-- Drops the account and reads back. Answers the sessions open and the accounts of that name that are left; the grant
-- is forgotten when there are none.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.clear(IN p_grant CHAR(36), IN p_scope VARCHAR(64), IN p_account CHAR(29)) SQL SECURITY DEFINER
BEGIN
    DECLARE v_host VARCHAR(255);
    DECLARE v_open LONGTEXT;
    DECLARE v_left TEXT;
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    SELECT host INTO v_host FROM gatepass_admin.accounts
     WHERE grant_id = p_grant AND scope = p_scope AND account = p_account AND state = 'cut';
    IF v_host IS NOT NULL THEN
        CALL gatepass_admin.drop_account(p_account, v_host);
        CALL gatepass_admin.end_sessions(p_account, v_open);
    END IF;
    SELECT COALESCE(GROUP_CONCAT(CONCAT(User, IF(is_role = 'Y', '', CONCAT('@', Host))) SEPARATOR ', '), '') INTO v_left
      FROM mysql.user WHERE BINARY User IN (p_account, CONCAT(p_account, '_r'));
    SET v_open = COALESCE(v_open, '');
    IF v_open = '' AND v_left = '' THEN
        DELETE FROM gatepass_admin.accounts WHERE grant_id = p_grant AND scope = p_scope;
    END IF;
    SELECT v_open, v_left;
END //

CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.inspect(IN p_scope VARCHAR(64)) SQL SECURITY DEFINER
    SELECT grant_id, account, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', until),
           (SELECT COUNT(*) FROM information_schema.processlist p WHERE p.user = a.account)
      FROM gatepass_admin.accounts a WHERE scope = p_scope ORDER BY account //

-- The version of these procedures, the time in microseconds, and whether the guard is at work.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.status() SQL SECURITY DEFINER
    SELECT 1, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)),
           @@global.event_scheduler = 'ON' AND EXISTS (
               SELECT 1 FROM information_schema.events
                WHERE event_schema = 'gatepass_admin' AND event_name = 'guard' AND status = 'ENABLED') //

-- Who holds a role, directly or through others, or all of a list of privileges on one schema or table; without the
-- accounts that stand in the table, and without those that may do everything anyway. One row per holder and entry, the entry by its place in `p_gives`.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost
PROCEDURE gatepass_admin.strangers(IN p_gives LONGTEXT) SQL SECURITY DEFINER
    WITH RECURSIVE
    asked AS (
        SELECT * FROM JSON_TABLE(p_gives, '$[*]' COLUMNS (place FOR ORDINALITY, role VARCHAR(128) PATH '$.role',
            privileges TEXT PATH '$.privileges', schema_name VARCHAR(64) PATH '$.schema',
            table_name VARCHAR(64) PATH '$.table')) g),
    named AS (
        SELECT grantee, REPLACE(REPLACE(REPLACE(table_schema, '\\_', '_'), '\\%', '%'), '\\\\', '\\') AS schema_name,
               NULL AS table_name, privilege_type FROM information_schema.schema_privileges
        UNION ALL
        SELECT grantee, table_schema, table_name, privilege_type FROM information_schema.table_privileges),
    direct AS (
        SELECT a.place, CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(n.grantee, '''', 2), '''', -1) AS CHAR(128)) AS name,
               CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(n.grantee, '''', -2), '''', 1) AS CHAR(255)) AS host
          FROM asked a JOIN named n ON BINARY n.schema_name = BINARY a.schema_name
               AND BINARY n.table_name <=> BINARY a.table_name
               AND FIND_IN_SET(n.privilege_type, REPLACE(a.privileges, ', ', ',')) > 0
         WHERE a.role IS NULL
         GROUP BY a.place, n.grantee
        HAVING COUNT(DISTINCT n.privilege_type)
             = MAX(1 + CHAR_LENGTH(a.privileges) - CHAR_LENGTH(REPLACE(a.privileges, ',', '')))),
    holders AS (
        SELECT place, name, host FROM direct
        UNION
        SELECT a.place, CAST(m.User AS CHAR(128)), CAST(m.Host AS CHAR(255))
          FROM asked a JOIN mysql.roles_mapping m ON BINARY m.Role = BINARY a.role
        UNION
        SELECT h.place, CAST(m.User AS CHAR(128)), CAST(m.Host AS CHAR(255))
          FROM holders h JOIN mysql.roles_mapping m ON h.host = '' AND BINARY m.Role = BINARY h.name)
    SELECT DISTINCT h.place - 1, CONCAT(h.name, '@', h.host) FROM holders h
     WHERE h.host <> '' AND NOT (h.name = 'gatepass_admin_owner' AND h.host = 'localhost')
       AND NOT EXISTS (SELECT 1 FROM mysql.user u WHERE BINARY u.User = BINARY h.name AND u.Host = h.host AND u.Super_priv = 'Y')
       AND NOT EXISTS (SELECT 1 FROM gatepass_admin.accounts a WHERE BINARY a.account = BINARY h.name AND a.host = h.host) //

DELIMITER ;

-- Does nothing while no access is past its end. Needs event_scheduler = ON in the server's configuration.
CREATE OR REPLACE DEFINER = gatepass_admin_owner@localhost EVENT gatepass_admin.guard
    ON SCHEDULE EVERY 1 SECOND COMMENT 'ends what Gatepass gave, at its end' DO CALL gatepass_admin.guard();

-- What is not listed here is for the procedures themselves: it would take any account's name.
GRANT EXECUTE ON PROCEDURE gatepass_admin.provision TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.move_guard TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.cut TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.silence TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.clear TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.inspect TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.status TO gatepass_admin@'%';
GRANT EXECUTE ON PROCEDURE gatepass_admin.strangers TO gatepass_admin@'%';
